// Looks at a status page in a headless Chromium and says what it saw, as JSON. Arguments: the browser, the URL of the server, a folder for pictures.
"use strict";
const { chromium } = require("playwright-core");
const axe = require("axe-core");
const path = require("node:path");

const [executablePath, url, folder] = process.argv.slice(2);
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const turn = (endpoint, to) => fetch(`${url}/turn/${endpoint}/${to}`, { method: "POST" });
const keyOf = "document.activeElement.closest('[data-key]')?.dataset.key";

// A page of its own context, with everything that went wrong on it and everything that it asked for.
async function open(browser, options, events) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  if (events !== undefined) await context.route("**/events", events);
  const page = await context.newPage();
  const wrong = [], asked = new Set();
  page.on("console", message => { if (["error", "warning"].includes(message.type())) wrong.push(message.text()); });
  page.on("pageerror", error => wrong.push(String(error)));
  page.on("dialog", dialog => { wrong.push(dialog.message()); dialog.dismiss(); });
  page.on("request", request => asked.add(request.url().replace(url, "")));
  const response = await page.goto(`${url}/status`);
  return { context, page, wrong, asked, status: response.status() };
}

// What axe-core finds, contrast included. What it cannot decide counts too.
async function violations(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations", "incomplete"] }));
  const lines = list => list.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`));
  return { violations: lines(found.violations), undecided: lines(found.incomplete), rules: found.passes.map(({ id }) => id) };
}

const picture = (page, name) => page.screenshot({ path: path.join(folder, `status-${name}.png`), fullPage: true });
const row = (page, name) => page.locator("tbody tr").filter({ has: page.locator(`th:text-matches("^${name}")`) });
const live = page => page.locator("#said").getByText("Live.").waitFor();
const shows = (page, name, text) => row(page, name).locator("td").first().getByText(text, { exact: true }).waitFor();

async function looks(browser, name, options) {
  const { context, page, wrong, asked, status } = await open(browser, options);
  await live(page);
  const closed = await violations(page);
  // At rest, for what is found does not change under its hands.
  await page.locator("#pause").click();
  await page.locator("summary").first().click();
  const opened = await violations(page);
  await picture(page, name);
  const colors = await page.evaluate(() => ["background-color", "color"].map(name => getComputedStyle(document.body).getPropertyValue(name)));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await context.close();
  return { status, wrong, asked: [...asked].sort(), closed, opened, colors, wide };
}

async function changes(browser) {
  const { context, page, wrong } = await open(browser, {});
  await live(page);
  await page.evaluate(() => { window.mark = "not loaded again"; });
  const key = await page.locator("summary").first().evaluate(element => element.closest("[data-key]").dataset.key);
  await page.locator("summary").first().click();
  const before = await page.title();
  const started = performance.now();
  await turn("a", "down");
  await shows(page, "a", "forced down");
  const seconds = (performance.now() - started) / 1000;
  const after = { title: await page.title(), summary: await page.locator("#summary").textContent() };
  const open1 = await page.locator("details").first().evaluate(element => element.open);
  const focused = await page.evaluate(keyOf) === key && await page.evaluate(() => document.activeElement.localName) === "summary";
  const first = await page.locator("details").first().locator("li").first().innerText();
  const age = page.locator("[data-ago]").first();
  const told = await age.textContent();
  await page.waitForFunction(told => document.querySelector("[data-ago]").textContent !== told, told);
  await page.locator("#pause").press("Space");
  await page.locator("#said").getByText("Paused.").waitFor();
  await turn("a", "release");
  const paused = await row(page, "a").locator("td").first().innerText();
  await page.locator("#pause").press("Enter");
  await shows(page, "a", "up");
  await live(page);
  const mark = await page.evaluate(() => window.mark);
  const moving = await page.evaluate(() => document.getAnimations().length);
  await context.close();
  return { wrong, before, after, seconds, open: open1, focused, first, paused, mark, moving };
}

async function keys(browser) {
  const { context, page, wrong } = await open(browser, { viewport: { width: 420, height: 800 } });
  await live(page);
  await page.locator("#pause").focus();
  await page.keyboard.press("Enter");
  const wanted = await page.evaluate(() => Array.from(document.querySelectorAll("button, .scroll, summary")).length);
  const reached = [], dim = [];
  for (let tabs = 0; tabs < wanted; tabs += 1) {
    reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.localName + " " + (document.activeElement.closest("[data-key]")?.dataset.key)));
    const outline = await page.evaluate(() => { const style = getComputedStyle(document.activeElement); return `${style.outlineStyle} ${style.outlineWidth}`; });
    if (outline !== "solid 3px") dim.push(`${reached.at(-1)}: ${outline}`);
    await page.keyboard.press("Tab");
  }
  const region = page.locator(".scroll").first();
  await region.focus();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector(".scroll").scrollLeft > 0);
  const details = page.locator("details").first();
  await details.locator("summary").focus();
  await page.keyboard.press("Enter");
  const opened = await details.evaluate(element => element.open);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const narrow = await violations(page);
  await picture(page, "narrow");
  await context.close();
  return { wrong, wanted, reached: [...new Set(reached)], dim, opened, wide, narrow };
}

// The events cannot be had: the page says so, and its times go on.
async function lost(browser) {
  const { context, page } = await open(browser, {}, route => route.abort());
  await page.locator("#said").getByText("Not connected; trying again.").waitFor();
  const words = [];
  for (const [seconds, pattern] of [[1, "^\\d+.s$"], [620, "^10.min \\d+.s$"], [9001, "^2.h 30.min$"], [266460, "^3.d 2.h$"]]) {
    await page.evaluate(seconds => { document.querySelector("[data-ago]").dataset.ago = seconds; }, seconds);
    await page.waitForFunction(pattern => new RegExp(pattern).test(document.querySelector("[data-ago]").textContent), pattern);
    words.push(await page.locator("[data-ago]").first().textContent());
  }
  await context.unrouteAll();
  await page.locator("#said").getByText("Live.").waitFor();
  await context.close();
  return { words };
}

async function plain(browser) {
  const { context, page, wrong, asked } = await open(browser, { javaScriptEnabled: false });
  const seen = {
    hint: await page.locator("noscript").innerText(),
    controls: await page.locator("#controls").isVisible(),
    tables: await page.locator("table:has(caption):has(th[scope=col]):has(th[scope=row])").count(),
    text: await page.locator("main").innerText(),
    images: await page.locator("img").count(),
  };
  await page.locator("summary").first().click();
  seen.list = await page.locator("details ol").first().isVisible();
  await picture(page, "no-script");
  await context.close();
  return { wrong, asked: [...asked].sort(), ...seen };
}

(async () => {
  const browser = await chromium.launch({ executablePath, args });
  try {
    const light = await looks(browser, "light", { colorScheme: "light" });
    const dark = await looks(browser, "dark", { colorScheme: "dark" });
    const forced = await looks(browser, "forced-colors", { forcedColors: "active", reducedMotion: "reduce" });
    const seen = { light, dark, forced, changes: await changes(browser), keys: await keys(browser), lost: await lost(browser), plain: await plain(browser) };
    process.stdout.write(JSON.stringify(seen));
  } finally {
    await browser.close();
  }
})().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
