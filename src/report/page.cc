#include "report/page.h"

#include "report/pictures.h"

namespace nibble {
namespace {

constexpr const char* kStyle = R"(
:root { --paper: #fff; --ink: #1b1f24; --soft: #5b6570; --line: #d8dde3; --mark: 37 99 235; --bad: #b42318; --good: #18794e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #e6eaef; --soft: #98a3af; --line: #303842; --mark: 96 152 255; --bad: #ff8a7a; --good: #63d29b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 16px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .5em 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2em 0 .5em; border-bottom: 1px solid var(--line); }
p, .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0; }
.tiles div { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.tiles b { display: block; font-size: 1.35rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.heat td { text-align: center; padding: 4px 8px; font-size: .8rem; background: rgb(var(--mark) / calc(var(--heat) * .6)); }
svg { width: 100%; max-width: 760px; height: auto; }
svg rect { fill: rgb(var(--mark)); }
svg text { fill: var(--soft); font-size: 11px; }
svg line { stroke: var(--line); }
svg.pareto { min-width: 560px; } svg.pareto polyline { stroke: rgb(var(--mark)); }
.worst { overflow-wrap: anywhere; }
mark { background: rgb(var(--mark) / .3); color: inherit; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 12px; }
.pair div { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; padding: 10px; font-size: .85rem; }
)";

}  // namespace

std::string html_page(const std::string& title, const std::string& body) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n<title>" +
         html_text(title) + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n" + body +
         "</body>\n</html>\n";
}

}  // namespace nibble
