package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/test/browser"
)

// TestEveryoneCanUseIt: each page and each state of it, for people with a screen reader, without a mouse, and with
// weak eyes.
func TestEveryoneCanUseIt(t *testing.T) {
	url := service(t, nil)
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url), browser.Until(modelsIn))
	browser.Audit(t, ctx, "the empty chat")
	browser.Run(t, ctx, send("Hello"), browser.Until(idle), browser.Click("#new"), send("Tell me about Go."),
		browser.Until(idle), browser.Click("Regenerate"), browser.Until(idle+` && document.body.innerText.includes("2 of 2")`),
		browser.Click("#settingsopen"))
	browser.Audit(t, ctx, "the chat with its settings")
	browser.Run(t, ctx, browser.Click("#settingsopen"), browser.Click(".foot button[aria-pressed]"),
		browser.Until(`document.querySelectorAll(".tok").length > 1`))
	browser.Audit(t, ctx, "the tokens of an answer")
	browser.Run(t, ctx, chromedp.Navigate(url+"/console/status"),
		browser.Until(`document.querySelectorAll(".figure").length >= 7`))
	browser.Audit(t, ctx, "the status")
	browser.Run(t, ctx, chromedp.Navigate(url+"/console/tokens"),
		browser.Until(`document.querySelectorAll(".piece").length > 5`))
	browser.Audit(t, ctx, "the tokens")
}
