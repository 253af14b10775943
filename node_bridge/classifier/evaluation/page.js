/**
 * The frame of the HTML pages: one file without others, without scripts and without network. Every text
 * that comes from outside goes through `escapeHtml`; `renderTable` does it for its cells.
 */
import { toPrintable } from '../../support/printable.js';

/** Where scripts are off anyway: no page of this program loads anything. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE = `
:root { color-scheme: light dark; --ink: #1c1f23; --soft: #6a7280; --rule: #d8dce2; --page: #ffffff; --amber: #b45309; --blue: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3af; --rule: #3a404a; --page: #15181c; --amber: #f59e0b; --blue: #60a5fa; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto; padding: 0 1rem; max-width: 700px; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 2rem; }
svg { width: 100%; height: auto; overflow: visible; } svg text { font-size: 12px; fill: var(--soft); } @media (max-width: 500px) { svg text { font-size: 16px; } }
.rule { stroke: var(--rule); } .mark { stroke: var(--soft); stroke-dasharray: 4 3; }
polyline { fill: none; stroke-width: 2; } circle { fill: var(--page); stroke-width: 2; }
polyline.amber, circle.amber { stroke: var(--amber); } polyline.blue, circle.blue { stroke: var(--blue); } polyline.ink { stroke: var(--ink); }
circle.point { fill: var(--blue); fill-opacity: .5; }
rect.amber { fill: var(--amber); } rect.blue { fill: var(--blue); } rect.gap { fill: var(--amber); fill-opacity: .3; stroke: var(--amber); }
.key, .about { color: var(--soft); } .key b.amber { color: var(--amber); } .key b.blue { color: var(--blue); } .key b.ink { color: var(--ink); }
.warning { border-left: 4px solid var(--amber); padding: .25rem .75rem; }
div.wide { overflow-x: auto; } table { border-collapse: collapse; } th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: top; }
th, td { overflow-wrap: normal; } td { white-space: nowrap; } th:first-child, .text { text-align: left; } td.text { min-width: 14rem; overflow-wrap: anywhere; white-space: normal; } td.right { font-weight: 600; }
`;

/** @typedef {{text: string, kind: 'text' | 'right'}} Cell */

/**
 * @param {string} title
 * @param {string[]} parts as HTML
 * @returns {string}
 */
export function renderPage(title, parts) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
<h1>${escapeHtml(title)}</h1>
${parts.join('\n')}
</html>
`;
}

/**
 * A table that scrolls by itself where it is too wide.
 *
 * @param {(string | Cell)[]} head may be empty
 * @param {(string | Cell)[][]} rows the first cell of each names the row
 */
export function renderTable(head, rows) {
  const top = head.map((cell) => renderCell('th', cell)).join('');
  const body = rows.map(
    ([name, ...cells]) => `<tr>${renderCell('th', name)}${cells.map((cell) => renderCell('td', cell)).join('')}</tr>`,
  );
  return `<div class="wide"><table>\n${[...(head.length === 0 ? [] : [`<tr>${top}</tr>`]), ...body].join('\n')}\n</table></div>`;
}

/** @param {'th' | 'td'} tag @param {string | Cell} cell */
function renderCell(tag, cell) {
  return typeof cell === 'string'
    ? `<${tag}>${escapeHtml(cell)}</${tag}>`
    : `<${tag} class="${cell.kind}">${escapeHtml(cell.text)}</${tag}>`;
}

/** A text as safe HTML. @param {string} text @param {number} [longest] how many characters stay */
export function escapeHtml(text, longest) {
  return toPrintable(text, longest)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
