package quality

import "strings"

// alien are frequent function words of other languages that are not English words too.
var alien = set(`der das und ist nicht ein eine einen einem einer eines mit auf für von zu im den dem des sich auch wird werden wurde sind aus bei nach oder aber wenn wie man nur noch über durch kann können haben hatte sein seine ihre ihr wir ich sie es dass daß weil dieser diese dieses zum zur vom keine mehr sehr als um vor bis
 le les des une et est dans que qui pour pas ne ce cette ces sur par plus avec sont aux du il elle nous vous ils elles mais ou où leur leurs être avoir fait été comme tout aussi très peut entre sans sous chez même donc à au
 el los las una unos unas y en que es por para con del al se su sus lo como más pero sus le ya o este esta estos estas sí porque cuando muy sin sobre también me hasta hay donde quien desde todo nos durante fue ser son era puede está
 il lo gli una di che è per con del della dei delle nel nella sono non si come più ma anche questo questa questi alla alle dal dalla essere ha hanno tra fra perché quando molto ogni loro può
 het een van en op te dat die niet zijn aan voor met ook maar bij naar uit wordt deze dit heeft kan worden meer wat hun zich door over om er je
 o os as um uma de e do da dos das em no na nos nas por para com não mais como mas foi ao ele ela seu sua ou quando muito já também só pelo pela até isso entre era depois sem mesmo são
 och att det som en på är av för med till den har inte om ett men var sig så vi jag kan från eller när hade
 nie się na jest do że to jak po ale co tak za od przez są być może tym czy dla przy który która które`)

// languageNames are the languages that a prompt may ask for.
var languageNames = set(`german french spanish italian dutch portuguese polish swedish norwegian danish finnish russian ukrainian chinese mandarin cantonese japanese korean arabic hebrew hindi bengali urdu turkish greek latin czech hungarian
 romanian vietnamese thai indonesian malay swahili esperanto catalan welsh irish gaelic persian farsi`)

// asksForeign reports whether the answer may be in another language: the prompt is not English, names a language after
// "in", "into" or "to", or asks for a translation.
func asksForeign(d *doc) bool {
	english, other := 0, 0
	named, translate := false, false
	for i, w := range d.prompt {
		switch {
		case functional(w):
			english++
		case alien[w] || hasForeignScript(w):
			other++
		}
		named = named || languageNames[w] && i > 0 && (d.prompt[i-1] == "in" || d.prompt[i-1] == "into" ||
			d.prompt[i-1] == "to")
		translate = translate || strings.HasPrefix(w, "translat")
	}
	return named || translate || other > english
}

// hasForeignScript reports whether a word has letters of another script than Latin.
func hasForeignScript(w string) bool {
	for _, r := range w {
		if r >= 0x370 && r != '’' && r != '\u2011' && (r < 0x1e00 || r > 0x1fff) && r != 0xfffd {
			return true
		}
	}
	return false
}

// tongue is the share of words that belong to another language.
func tongue(d *doc) Part {
	n := 0
	for _, w := range d.prose {
		if alien[w] && !functional(w) || hasForeignScript(w) {
			n++
		}
	}
	share := float64(n) / float64(max(len(d.prose), 1))
	return part(Coherence, "language", ramp(share, 0.14, 0.07),
		"%.0f %% of the words are function words of other languages", 100*share)
}
