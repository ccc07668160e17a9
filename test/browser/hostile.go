package browser

// Hostile are texts that would do something if any part of a page took them for markup.
func Hostile() []string {
	return []string{
		`<script>hit()</script>`, `<SCRIPT SRC=//x.example/a.js></SCRIPT>`, `<img src=x onerror=hit()>`, `<svg onload=hit()>`,
		`<svg><script>hit()</script></svg>`, `<iframe srcdoc="<script>parent.hit()</script>"></iframe>`,
		`<iframe src="javascript:hit()"></iframe>`, `<a href="javascript:hit()">a</a>`, `[a](javascript:hit())`,
		`![a](x" onerror="hit())`, `<body onload=hit()>`, `<input autofocus onfocus=hit()>`, `<details open ontoggle=hit()>`,
		`<video><source onerror=hit()></video>`, `<style>*{display:none}</style>`, `<link rel=stylesheet href=//x.example>`,
		`<base href="//x.example/">`, `<meta http-equiv=refresh content="0;url=//x.example">`, `<form action=//x.example><button>`,
		`<object data="javascript:hit()">`, `<embed src="javascript:hit()">`, `<math><mtext><img src=x onerror=hit()>`,
		`</title><script>hit()</script>`, `</textarea><script>hit()</script>`, `</pre><script>hit()</script>`,
		`--><script>hit()</script>`, `]]><script>hit()</script>`, `"><script>hit()</script>`, `' onmouseover='hit()`,
		`" autofocus onfocus="hit()`, "`${hit()}`", `{{hit()}}`, `{{.Version}}`, `${hit()}`, `<%= hit() %>`,
		`&lt;script&gt;hit()&lt;/script&gt;`, `&#60;img src=x onerror=hit()&#62;`, `\u003cscript\u003ehit()\u003c/script\u003e`,
		"```html\n<script>hit()</script>\n```", "```\n</pre><img src=x onerror=hit()>", "`<img src=x onerror=hit()>`",
		"**<img src=x onerror=hit()>**", "# <img src=x onerror=hit()>", `<noscript><p title="</noscript><img src=x onerror=hit()>">`,
		`<template><script>hit()</script></template>`, `<div style="position:fixed;inset:0">`, `<x-y onclick=hit()>`,
		"\u202egnp.exe", "a\u0000b<script>hit()</script>", `__proto__`, `constructor`, `data: [DONE]`,
	}
}
