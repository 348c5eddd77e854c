// The dashboard: reads the API, draws, and reads again whenever the node tells of something.

import { LineChart } from "./charts.js";
import { byId, code, element, fillRows, formatBytes, formatDuration, formatTokens, replace, shorten, styleOf, tick, verdict, verdictSign } from "./parts.js";

const API = "/api/v1";
const READ_AGAIN_MS = 1000;
const POLL_MS = 5000;
const RECONNECT_MS = 3000;
const PAGE = 25;
const PHASES = ["DRAW", "TRAIN", "SEAL", "REVEAL"];

const seen = { rounds: new Map(), settled: -1, shown: PAGE, hidden: new Set(), open: new Set(), current: null, chain: null };

const stakeChart = new LineChart(byId("stake-chart"), byId("stake-readout"), { label: "Stake over time, in tokens", formatX: "round", formatY: (value) => formatTokens(value) });
const scoreChart = new LineChart(byId("score-chart"), byId("score-readout"), { label: "Score of the model", formatX: "round", formatY: (value) => `${(value / 10_000).toFixed(1)}%` });

async function ask(path) {
  const response = await fetch(API + path, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// Reading: one pass at a time, and one more if something happened meanwhile.

let isReading = false, isStale = false;

async function readAgain() {
  if (isReading) { isStale = true; return; }
  isReading = true;
  try {
    do {
      isStale = false;
      await readOnce();
      await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_MS));
    } while (isStale);
  } catch {
    showLive(false);
  } finally {
    isReading = false;
  }
}

async function readOnce() {
  const [status, alerts, peers, stakes, consensus] = await Promise.all(["/status", "/alerts", "/peers", "/stakes", "/consensus"].map(ask));
  if (seen.chain !== status.chain_id) { seen.rounds.clear(); seen.settled = -1; seen.chain = status.chain_id; }
  if (status.rounds_settled !== seen.settled) await readRounds(status);
  showStatus(status, alerts);
  showRound(status.round, status);
  showConsensus(status, consensus);
  showMembers(status, stakes, peers);
  showPeers(peers);
}

async function readRounds(status) {
  const first = Math.max(status.rounds_settled - 99, seen.settled + 1, 1);
  const [rounds, history, model] = await Promise.all([`/rounds?from_round=${first}&limit=100`, "/stakes/history", "/model"].map(ask));
  for (const round of rounds) seen.rounds.set(round.round, round);
  seen.settled = rounds.length ? rounds[rounds.length - 1].round : status.rounds_settled;
  seen.names = new Map(status.members.map((entry) => [entry.member, entry.name]));
  seen.history = history;
  seen.scores = model.scores;
  showHistory();
  showScores();
  showRounds();
}

async function readOlder() {
  const oldest = Math.min(...seen.rounds.keys());
  seen.shown += PAGE;
  if (seen.shown > seen.rounds.size && oldest > 1) {
    const first = Math.max(oldest - 100, 1);
    for (const round of await ask(`/rounds?from_round=${first}&limit=${Math.min(oldest - first, 100)}`)) seen.rounds.set(round.round, round);
    showScores();
  }
  showRounds();
}

// Showing.

function showLive(isLive) {
  replace(byId("live"), isLive ? "● live" : "○ no connection, trying again");
  byId("live").className = isLive ? "accept" : "off";
}

function showStatus(status, alerts) {
  document.title = `${status.name} · ${status.network} · pnyx`;
  replace(byId("network"), status.network);
  replace(byId("node"), `${status.name}, ${status.standing}, task ${status.task}`);
  replace(byId("height"), status.height);
  replace(byId("epoch"), status.epoch);
  replace(byId("online"), `${status.members_connected + 1} of ${status.members_other + 1}`);
  replace(byId("round-number"), status.round ? status.round.round : `${status.rounds_settled} done`);
  const isReady = !alerts.some((alert) => alert.is_blocking);
  replace(byId("ready"), element("span", { class: isReady ? "accept" : "off" }, isReady ? "✓ takes part" : "✗ does not take part"));
  const shown = alerts.map((alert) => element("p", { class: `alert ${alert.severity}`, "data-code": alert.code }, element("strong", {}, alert.severity === "error" ? "✗ Error" : "! Warning"), alert.text));
  const area = byId("alerts");
  // What a screen reader has read once is not read again.
  if (area.textContent !== shown.map((part) => part.textContent).join("")) replace(area, ...shown);
  replace(byId("foot"), `pnyx ${status.version} · chain ${status.chain_id} · state root ${shorten(status.state_root)} · daemon ${formatBytes(status.rss_bytes)} · up ${formatDuration(status.uptime_ms)}`);
}

function showRound(round, status) {
  seen.current = round;
  replace(byId("phases"), ...PHASES.map((phase) => element("li", { "aria-current": round && round.phase === phase ? "step" : null }, phase.toLowerCase())));
  if (!round) {
    const isDone = status.rounds_max && status.rounds_settled >= status.rounds_max;
    replace(byId("phase-note"), isDone ? `The job is done: ${status.rounds_settled} rounds.` : "No round is open: too few members may be drawn.");
    fillRows(byId("roles").tBodies[0], []);
    return;
  }
  showTimeLeft();
  const row = (name, role) => ({
    key: `${role} ${name}`,
    make: () => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, role),
      element("td", {}, tick(round.submitted.includes(name), role === "proposer")),
      element("td", {}, tick(round.sealed.includes(name), role === "voter")),
      element("td", {}, tick(round.revealed.includes(name), role === "voter"))),
  });
  fillRows(byId("roles").tBodies[0], [...round.proposers.map((name) => row(name, "proposer")), ...round.voters.map((name) => row(name, "voter"))]);
}

function showTimeLeft() {
  const round = seen.current;
  if (!round) return;
  const own = round.own_roles.length ? ` This node is ${round.own_roles.join(" and ")}.` : " This node has no part in it.";
  const left = round.deadline_ms - Date.now();
  const when = round.deadline_ms === 0 ? "waiting for the draw." : left > 0 ? `the phase ends in ${formatDuration(left)} at the latest.` : `the phase should have ended ${formatDuration(-left)} ago.`;
  replace(byId("phase-note"), `Round ${round.round}: ${when}${round.phase === "DRAW" ? "" : own}`);
}

function showConsensus(status, consensus) {
  const { connected, quorum, total, has_quorum: hasQuorum } = status.weights;
  const share = (weight) => Math.min(100, weight / Math.max(total, 1) * 100);
  const bar = element("span", { class: "bar full", "aria-hidden": "true" }, element("i"), element("b"));
  bar.children[0].style.width = `${share(connected)}%`;
  bar.children[1].style.left = `${share(quorum)}%`;
  replace(byId("quorum"), element("p", { class: hasQuorum ? "accept" : "off" }, `${hasQuorum ? "✓" : "✗ no"} quorum: ${share(connected).toFixed(0)}% of the weight is connected, more than 67% are needed`), bar);
  const blocks = consensus.blocks;
  const span = blocks.length > 1 ? (blocks[blocks.length - 1].time_ms - blocks[0].time_ms) / (blocks.length - 1) : null;
  const fact = (name, value, id) => element("div", {}, element("dt", {}, name), element("dd", { id }, value));
  replace(byId("consensus-facts"), fact("View", status.view, "view"), fact("Failed views since start", consensus.failed_views, "failed-views"),
    fact("Time between blocks", span === null ? "–" : formatDuration(span), "block-time"), fact("Casts votes", status.is_voting ? "✓ yes" : "✗ no", "voting"));
  const leaders = new Map();
  const count = (name, kind) => { const entry = leaders.get(name) ?? { blocks: 0, failures: 0 }; entry[kind] += 1; leaders.set(name, entry); };
  for (const block of blocks) count(block.leader_name, "blocks");
  for (const failure of consensus.failures) count(failure.leader_name, "failures");
  fillRows(byId("leaders").tBodies[0], [...leaders].sort(([a], [b]) => a < b ? -1 : 1).map(([name, entry]) => ({
    key: name,
    make: () => element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, entry.blocks), element("td", { class: `number ${entry.failures ? "off" : ""}` }, entry.failures)),
  })));
}

function describeStanding(account, isConnected) {
  const words = [["is_jailed", "in jail"], ["is_evicted", "evicted"], ["is_leaving", "leaving"], ["is_exhausted", "too little stake"]].filter(([key]) => account[key]).map(([, word]) => word);
  if (isConnected === false) words.push("not connected");
  return words.length ? element("span", { class: "off" }, `✗ ${words.join(", ")}`) : element("span", { class: "accept" }, "✓ well");
}

function showMembers(status, stakes, peers) {
  const connected = new Map(peers.map((peer) => [peer.member, peer.is_connected]));
  fillRows(byId("members").tBodies[0], stakes.members.map((account) => ({
    key: account.member,
    make: () => {
      const share = account.weight / Math.max(status.weights.total, 1) * 100;
      const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("i"));
      bar.firstChild.style.width = `${share}%`;
      const amount = (name) => element("td", { class: "number", "data-field": name, "data-value": account[name] }, formatTokens(account[name]));
      return element("tr", { "data-member": account.member }, element("th", { scope: "row", title: account.member }, account.name, account.member === status.member ? " (this node)" : ""),
        amount("bonded"), amount("unbonding"), amount("free"), element("td", {}, bar, `${share.toFixed(1)}%`),
        element("td", {}, describeStanding(account, connected.get(account.member))));
    },
  })));
}

function showPeers(peers) {
  fillRows(byId("peers").tBodies[0], peers.map((peer) => ({
    key: peer.member,
    make: () => element("tr", { "data-member": peer.member }, element("th", { scope: "row", title: peer.peer_id }, peer.name),
      element("td", { "data-field": "connected" }, element("span", { class: peer.is_connected ? "accept" : "off" }, peer.is_connected ? "✓ connected" : "✗ away")),
      element("td", { class: "number" }, peer.round_trip_ms === null ? "–" : `${peer.round_trip_ms} ms`),
      element("td", { class: "number" }, formatBytes(peer.bytes_received)), element("td", { class: "number" }, formatBytes(peer.bytes_sent)),
      element("td", { class: "number" }, peer.score), element("td", {}, element("code", {}, peer.addresses[0] ?? "–"))),
  })));
}

function showHistory() {
  const points = seen.history.points;
  const series = seen.history.members.map(({ member, name }, index) => ({
    name, member, ...styleOf(index),
    points: points.filter((point) => point.stakes[index] !== null).map((point) => [point.round, point.stakes[index]]),
  }));
  replace(byId("stake-legend"), ...series.map((line) => {
    const isShown = !seen.hidden.has(line.member);
    const sample = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [key, value] of Object.entries({ width: 28, height: 10, "aria-hidden": "true" })) sample.setAttribute(key, value);
    const stroke = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of Object.entries({ x1: 0, x2: 28, y1: 5, y2: 5, stroke: line.colour, "stroke-width": 3, "stroke-dasharray": line.dash || "none" })) stroke.setAttribute(key, value);
    sample.append(stroke);
    return element("button", { type: "button", "aria-pressed": String(isShown), "data-member": line.member, onclick: () => toggle(line.member) }, sample, line.name);
  }));
  stakeChart.show(series.filter((line) => !seen.hidden.has(line.member)));
}

function toggle(member) {
  if (!seen.hidden.delete(member)) seen.hidden.add(member);
  showHistory();
  byId("stake-legend").querySelector(`[data-member="${member}"]`).focus();
}

function showScores() {
  const points = [...seen.rounds.values()].sort((a, b) => a.round - b.round).filter((round) => round.model in seen.scores)
    .map((round) => [round.round, seen.scores[round.model], verdictSign(round.verdict)]);
  scoreChart.show([{ name: "score", colour: "#0072b2", dash: "", shape: 0, points }]);
}

function showRounds() {
  const latest = [...seen.rounds.values()].sort((a, b) => b.round - a.round).slice(0, seen.shown);
  byId("older").hidden = latest.length === 0 || latest[latest.length - 1].round === 1;
  fillRows(byId("rounds").tBodies[0], latest.flatMap((round) => {
    const rows = [{ key: `${round.round}`, make: () => makeRoundRow(round) }];
    if (seen.open.has(round.round)) rows.push({ key: `${round.round} more`, make: () => makeDetails(round) });
    return rows;
  }));
}

function makeRoundRow(round) {
  const isOpen = seen.open.has(round.round);
  const changes = round.model === round.base ? element("span", { class: "quiet" }, "unchanged ", code(round.model)) : element("span", {}, code(round.base), " → ", code(round.model));
  const more = element("button", { type: "button", "aria-expanded": String(isOpen), "aria-label": `Details of round ${round.round}`, "data-open": round.round, onclick: () => openDetails(round.round) }, isOpen ? "less" : "more");
  return element("tr", { "data-round": round.round }, element("th", { scope: "row", class: "number" }, round.round), element("td", { "data-field": "verdict" }, verdict(round.verdict)),
    element("td", { "data-field": "ballots" }, `${round.accept_count} for, ${round.reject_count} against`), element("td", {}, round.proposer_names.join(", ") || "–"),
    element("td", { "data-field": "model", "data-value": round.model }, changes), element("td", { class: "number" }, formatDuration(round.settled_ms - round.opened_ms)), element("td", {}, more));
}

function openDetails(round) {
  if (!seen.open.delete(round)) seen.open.add(round);
  showRounds();
  document.querySelector(`[data-open="${round}"]`).focus();
}

function makeDetails(round) {
  const name = (member) => seen.names.get(member) ?? shorten(member);
  const lines = [
    ["Voters", round.ballots.map((ballot) => `${name(ballot.voter)} ${ballot.is_accept ? "✓ for" : "✗ against"}`).join(", ") || "no ballot was revealed"],
    ["Silent", round.silent.map(name).join(", ") || "nobody"],
    ["Updates", round.updates.map((update) => `${name(update.member)} ${shorten(update.digest)}${update.is_condemned ? " ✗ condemned" : ""}`).join(", ") || "none"],
    ["Base", `${shorten(round.base)}${round.is_base_condemned ? " ✗ condemned" : ""}`],
    ["Stake moved", round.moves.map((move) => `${name(move.member)} ${move.reason.toLowerCase().replaceAll("_", " ")} ${formatTokens(move.amount)}`).join("; ") || "none"],
    ["Ledger", `opened at height ${round.opened_height}, settled at ${round.settled_height}, ${new Date(round.settled_ms).toLocaleString()}`],
  ];
  return element("tr", {}, element("td", { class: "more", colspan: 7 }, element("dl", {}, ...lines.flatMap(([term, text]) => [element("dt", {}, element("strong", {}, term)), element("dd", {}, text)]))));
}

// Starting: the theme, the events, and a slow poll for what has no event, such as a peer that goes.

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

function follow() {
  const events = new EventSource(`${API}/events`);
  events.onopen = () => { showLive(true); readAgain(); };
  events.onerror = () => {
    showLive(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, RECONNECT_MS);
  };
  for (const kind of ["Status", "BlockExecuted", "PhaseEntered", "EpochStarted", "ViewFailed", "OffenceSeen", "CandidateDiffers", "WorkAbandoned", "UpdateNotScreened", "VotingSuspended", "VotingResumed", "Missed"]) {
    events.addEventListener(kind, readAgain);
  }
}

const stored = localStorage.getItem("theme");
if (stored) document.documentElement.dataset.theme = stored;
byId("theme").addEventListener("click", () => {
  const isDark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(isDark ? "light" : "dark");
});
byId("older").addEventListener("click", readOlder);
follow();
setInterval(readAgain, POLL_MS);
setInterval(showTimeLeft, 1000);
