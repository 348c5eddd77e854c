"""The dashboard in a real browser, on a real network: what it shows is what the ledgers say.

PNYX_SCREENSHOTS names a folder for pictures of what was tested; `make e2e-browser` names docs/images.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from node.json_values import get_int, get_list, get_object
from node.ledger_export import open_ledger
from protocol.units import Round
from tests.browser.chromium import find_chromium
from tests.browser.networks import NODES, ROUNDS, WAIT_S, Network, run, start_network, wait_until

PAGE_BYTES_MAX = 300_000
CONTRAST_MIN = 4.5
ROUNDS_SHOWN = 25
"""How many rounds the page shows before it is asked for older ones."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("browser") / "net"
    try:
        yield start_network(directory)
    finally:
        run("testnet", "down", str(directory))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    assert executable is not None
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


class Visit:
    """A page, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note_request)

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()


@pytest.fixture
def visit(browser: Browser, network: Network) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT_S * 1_000)
    made = Visit(page)
    page.goto(network.url)
    expect(page.locator("#live")).to_have_text("● live", timeout=WAIT_S * 1_000)
    expect(page.locator("#members tbody tr")).to_have_count(len(NODES), timeout=WAIT_S * 1_000)
    yield made
    page.close()


def take_picture(page: Page, name: str) -> None:
    folder = os.environ.get("PNYX_SCREENSHOTS")
    if folder:
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / f"{name}.png")


def wait_done(network: Network, page: Page) -> None:
    wait_until(network.is_done, what="the end of the job")
    expect(page.locator(f'#rounds tr[data-round="{ROUNDS}"]')).to_be_visible(timeout=WAIT_S * 1_000)


def test_the_page_follows_the_rounds_without_being_asked(visit: Visit) -> None:
    before = int(visit.text("#round-number"))
    expect(visit.page.locator("#round-number")).not_to_have_text(str(before), timeout=WAIT_S * 1_000)
    expect(visit.page.locator("#roles tbody tr")).not_to_have_count(0, timeout=WAIT_S * 1_000)
    expect(visit.page.locator("#phases li[aria-current]")).to_have_count(1, timeout=WAIT_S * 1_000)
    take_picture(visit.page, "dashboard-live")
    assert visit.complaints == []


def test_what_the_page_shows_is_what_another_members_ledger_says(visit: Visit, network: Network) -> None:
    wait_done(network, visit.page)
    wait_until(lambda: network.has_settled("beta"), what="the end of the job at beta")
    _, reader = open_ledger(network.get_home("beta"))
    with closing(reader):
        records = reader.get_rounds(Round(1), limit=ROUNDS)
    expect(visit.page.locator("#rounds tbody tr")).to_have_count(ROUNDS_SHOWN)
    visit.page.locator("#older").click()
    expect(visit.page.locator("#rounds tbody tr")).to_have_count(ROUNDS)
    assert len(records) == ROUNDS
    assert len({(record.accept_count, record.reject_count) for record in records}) > 1
    for record in records:
        row = visit.page.locator(f'#rounds tr[data-round="{record.round}"]')
        expect(row.locator("[data-verdict]")).to_have_attribute("data-verdict", record.verdict.name)
        expect(row.locator("[data-field=model]")).to_have_attribute("data-value", record.model_digest.hex())
        expect(row.locator("[data-field=ballots]")).to_have_text(
            f"{record.accept_count} for, {record.reject_count} against"
        )
    stakes = get_object(network.read("beta", "stakes"))
    for account in map(get_object, get_list(stakes["members"])):
        row = visit.page.locator(f'#members tr[data-member="{account["member"]}"]')
        for field in ("bonded", "unbonding", "free"):
            expect(row.locator(f"[data-field={field}]")).to_have_attribute("data-value", str(account[field]))
            shown = row.locator(f"[data-field={field}]").inner_text().replace(",", "")
            assert float(shown) == get_int(account[field]) / 1_000_000
    assert int(visit.text("#height")) == get_object(network.read("beta", "status"))["height"]
    assert visit.complaints == []
    visit.page.set_viewport_size({"width": 1280, "height": 1500})
    take_picture(visit.page, "dashboard")


def test_the_chart_shows_each_members_stake_and_says_it_to_who_cannot_see(visit: Visit, network: Network) -> None:
    wait_done(network, visit.page)
    stakes = get_object(network.read("beta", "stakes"))
    spoken = visit.page.locator("#stake-chart svg").get_attribute("aria-label") or ""
    visit.page.locator("#stake-chart").focus()
    visit.page.keyboard.press("End")
    readout = visit.text("#stake-readout")
    assert readout.startswith(f"round {ROUNDS}: ")
    for account in map(get_object, get_list(stakes["members"])):
        total = sum(get_int(account[state]) for state in ("bonded", "unbonding", "free")) / 1_000_000
        assert f"{account['name']} {total:g}" in readout
        assert f"{account['name']} {total:g}" in spoken


def test_a_keyboard_is_enough(visit: Visit, network: Network) -> None:
    wait_done(network, visit.page)
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#stake-legend') !== null"):
            break
    lines = page.locator("#stake-chart path[fill=none]")
    expect(lines).to_have_count(len(NODES))
    page.keyboard.press("Enter")
    expect(lines).to_have_count(len(NODES) - 1)
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "false"
    page.keyboard.press("Enter")
    page.locator(f'[data-open="{ROUNDS}"]').focus()
    page.keyboard.press("Enter")
    expect(page.locator("td.more")).to_contain_text("Voters")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(visit: Visit, network: Network, scheme: str) -> None:
    wait_done(network, visit.page)
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    faint = visit.page.evaluate(
        """least => {
          const read = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (node) => {
            for (; node; node = node.parentElement) {
              const colour = read(getComputedStyle(node).backgroundColor);
              if (colour.length === 3 || colour[3] > 0) return colour;
            }
            return [255, 255, 255];
          };
          const found = [];
          for (const node of document.querySelectorAll('body *')) {
            const hasText = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
            if (!hasText || !node.checkVisibility()) continue;
            const style = getComputedStyle(node);
            const ink = light(read(node instanceof SVGElement ? style.fill : style.color)), paper = light(behind(node));
            const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
            if (contrast < least) found.push(`${node.tagName} ${node.textContent.slice(0, 30)} ${contrast.toFixed(2)}`);
          }
          return found;
        }""",
        CONTRAST_MIN,
    )
    assert faint == []
    if scheme == "dark":
        take_picture(visit.page, "dashboard-dark")


def test_it_fits_a_phone(visit: Visit, network: Network) -> None:
    wait_done(network, visit.page)
    visit.page.set_viewport_size({"width": 360, "height": 740})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    take_picture(visit.page, "dashboard-phone")


def test_everything_comes_from_the_node_and_it_is_little(browser: Browser, network: Network) -> None:
    page = browser.new_page()
    visit = Visit(page)
    page.goto(network.url)
    expect(page.locator("#rounds tbody tr")).not_to_have_count(0, timeout=WAIT_S * 1_000)
    page.goto(f"{network.url}/docs")
    expect(page.locator("#operations details")).not_to_have_count(0, timeout=WAIT_S * 1_000)
    assert {urlsplit(request.url).netloc for request in visit.requests} == {f"127.0.0.1:{network.port}"}
    files = [request for request in visit.requests if "/api/" not in request.url]
    weight_bytes = sum(request.sizes()["responseBodySize"] for request in files)
    assert 10_000 < weight_bytes < PAGE_BYTES_MAX
    print(f"page weight: {weight_bytes} bytes in {len(files)} requests, both pages")
    assert visit.complaints == []
    page.close()


def test_a_name_is_text_and_never_markup(visit: Visit) -> None:
    made = visit.page.evaluate(
        """async () => {
          const { element } = await import('/static/parts.js');
          return element('td', {}, '<img src=x onerror=alert(1)>').innerHTML;
        }"""
    )
    assert made == "&lt;img src=x onerror=alert(1)&gt;"


def test_it_survives_the_restart_of_the_node(visit: Visit, network: Network) -> None:
    wait_done(network, visit.page)
    before = visit.text("#members tbody")
    run("testnet", "down", str(network.directory), "alpha")
    expect(visit.page.locator("#live")).to_contain_text("no connection", timeout=WAIT_S * 1_000)
    run("testnet", "up", str(network.directory), "alpha")
    expect(visit.page.locator("#live")).to_have_text("● live", timeout=WAIT_S * 1_000)
    expect(visit.page.locator("#alerts p")).to_have_count(0, timeout=WAIT_S * 1_000)
    assert visit.text("#members tbody") == before
    # That nobody answered is the browser's own line; nothing else may have gone wrong.
    assert all("net::ERR_" in complaint for complaint in visit.complaints), visit.complaints


def test_it_says_when_there_is_no_quorum(visit: Visit, network: Network) -> None:
    run("testnet", "kill", str(network.directory), "gamma", "delta")
    alert = visit.page.locator('#alerts [data-code="no_quorum"]')
    expect(alert).to_contain_text("no quorum: 3 of 5 online", timeout=WAIT_S * 1_000)
    expect(visit.page.locator("#ready")).to_have_text("✗ does not take part", timeout=WAIT_S * 1_000)
    take_picture(visit.page, "dashboard-no-quorum")
    run("testnet", "up", str(network.directory), "gamma", "delta")
    expect(alert).to_have_count(0, timeout=WAIT_S * 1_000)
