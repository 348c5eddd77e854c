// The API's page: everything in it comes from the OpenAPI document.

import { byId, element, replace } from "./parts.js";

const described = await (await fetch("/openapi.json")).json();

function showSchema(schema) {
  return element("pre", { tabindex: 0 }, JSON.stringify(schema, null, 2));
}

function showParameter(parameter) {
  const { minimum, maximum, default: usual } = parameter.schema;
  const fallback = usual === undefined ? "" : `, ${usual} if not given`;
  return element("li", {}, element("code", {}, parameter.name), ` (${parameter.in}): ${parameter.schema.type} from ${minimum} to ${maximum}${fallback}`);
}

function showOperation([path, { get }]) {
  const isPlain = !path.includes("{");
  const answers = Object.entries(get.responses).map(([status, response]) => {
    const [mediaType, { schema }] = Object.entries(response.content)[0];
    return element("div", {}, element("p", {}, element("strong", {}, status), ` ${response.description} (${mediaType})`), showSchema(schema));
  });
  return element("details", { class: "operation" },
    element("summary", {}, element("code", {}, `GET ${path}`), ` ${get.summary}`),
    isPlain ? element("p", {}, element("a", { href: path }, "Ask this node")) : null,
    get.parameters?.length ? element("ul", {}, ...get.parameters.map(showParameter)) : null,
    ...answers);
}

replace(byId("about"), `${described.info.title} ${described.info.version}. ${described.info.description}`);
replace(byId("operations"), ...Object.entries(described.paths).map(showOperation));
replace(byId("shapes"), ...Object.entries(described.components.schemas).map(([name, schema]) =>
  element("details", { class: "operation", id: name }, element("summary", {}, name), showSchema(schema))));
