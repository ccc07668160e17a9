package console_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// focused waits until an element has the focus: one of a selector, or a button of a label.
func focused(what string) chromedp.Action {
	return browser.Until(fmt.Sprintf(`(() => { const e = document.activeElement;
		try { if (e.matches(%[1]s)) return true; } catch { /* a label */ }
		return (e.getAttribute("aria-label") ?? e.textContent) === %[1]s; })()`, browser.Quote(what)))
}

// focus gives the focus to the first button of a label, as the Tab key would in the end.
func focus(what string) chromedp.Action {
	return chromedp.Tasks{browser.Until(fmt.Sprintf(`[...document.querySelectorAll("main button, aside button")].some((e) => {
		if ((e.getAttribute("aria-label") ?? e.textContent) !== %s || !e.getClientRects().length) return false;
		e.focus(); return true; })`, browser.Quote(what)))}
}

func press(key string) chromedp.Action { return chromedp.KeyEvent(key) }

// TestKeyboard: all of the chat is done by the keyboard, and after each step the focus is where people go on.
func TestKeyboard(t *testing.T) {
	url := service(t, nil)
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url), browser.Until(modelsIn),
		focused("#text"), seeded,
		chromedp.KeyEvent("one"), chromedp.KeyEvent(kb.Enter), browser.Until(idle), focused("#text"),
		// again, and between the two answers
		focus("Regenerate"), press(kb.Enter), browser.Until(idle+` && document.body.innerText.includes("2 of 2")`),
		browser.Until(`document.activeElement !== document.body`),
		focus("Earlier answer"), press(kb.Enter), browser.Until(`document.body.innerText.includes("1 of 2")`),
		browser.Until(`document.activeElement.closest(".foot")`),
		focus("Later answer"), press(" "), browser.Until(`document.body.innerText.includes("2 of 2")`),
		browser.Until(`document.activeElement.closest(".foot")`))
	// the tokens are one stop, with arrows between them
	const token = `[...document.querySelectorAll(".tok")].indexOf(document.activeElement)`
	browser.Run(t, ctx, focus("Tokens"), press(kb.Enter), browser.Until(`document.querySelectorAll(".tok").length > 2`),
		chromedp.Evaluate(`document.querySelector(".tok[tabindex='0']").focus()`, nil), browser.Until(token+` === 0`),
		press(kb.ArrowRight), browser.Until(token+` === 1 && !document.getElementById("tip").hidden`),
		press(kb.End), browser.Until(token+` === document.querySelectorAll(".tok").length - 1`),
		press(kb.Home), press(kb.ArrowLeft), browser.Until(token+` === 0`),
		press(kb.Escape), browser.Until(`document.getElementById("tip").hidden`))
	// panels open with the focus in them, and Escape leads back
	browser.Run(t, ctx, focus("Settings"), press(kb.Enter), focused("textarea[name=system]"),
		press(kb.Escape), browser.Until(`document.getElementById("settings").hidden`), focused("#settingsopen"),
		chromedp.EmulateViewport(390, 850), focus("Conversations"), press(kb.Enter), focused("#new"),
		press(kb.Escape), focused("#sideopen"), chromedp.EmulateViewport(1024, 850))
	// deleting goes on with the next one
	browser.Run(t, ctx, focus("New conversation"), press(kb.Enter), focused("#text"), chromedp.KeyEvent("two\r"),
		browser.Until(idle), focus("New conversation"), press(kb.Enter), focused("#text"),
		chromedp.KeyEvent("three\r"),
		browser.Until(idle), chromedp.Evaluate(`window.confirm = () => true`, nil),
		focus("Delete two"), press(kb.Enter), focused("Delete one"), press(kb.Enter), focused("Delete three"),
		press(kb.Enter), focused("#new"), browser.Until(`document.querySelectorAll("#list li").length === 0`))
}

// TestFocusIsNotStolen: an answer that ends takes the focus from nobody, and a stop with the keyboard leaves it where
// the next message is written.
func TestFocusIsNotStolen(t *testing.T) {
	left := make(chan struct{}, 2)
	upstream := slow(t, left, nil)
	url := service(t, func(c *mixtral.Config) { c.Backend, c.Upstream = mixtral.BackendVLLM, upstream })
	ctx := browser.Tab(t)
	running := browser.Until(`!document.getElementById("stop").hidden && document.querySelector(".message.assistant .body").innerText.includes("word9")`)
	browser.Run(t, ctx, chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url), browser.Until(modelsIn),
		send("one"), running,
		focus("Stop"), press(kb.Enter), browser.Until(idle), focused("#text"),
		browser.Click("#settingsopen"), focused("textarea[name=system]"), focus("Regenerate"), press(kb.Enter),
		running,
		chromedp.Evaluate(`document.querySelector("[name=system]").focus()`, nil), chromedp.KeyEvent("Be"),
		press(kb.Escape), browser.Until(idle), focused("textarea[name=system]"), chromedp.KeyEvent(" brief"),
		browser.Until(`document.querySelector("[name=system]").value === "Be brief"`))
}
