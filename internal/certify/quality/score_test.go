package quality

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

var answers = map[string]string{
	"reasoning/simple": "2 + 2 = 4.",
	"reasoning/medium": "Machine learning is a way for computers to learn from examples instead of following fixed " +
		"rules. Imagine you show a computer thousands of photos of cats. It looks for patterns that the photos " +
		"share, such as ears and whiskers. Later it can recognise a cat in a photo it has never seen. The more " +
		"data it gets, the better its predictions become.",
	"reasoning/complex": "Artificial intelligence is changing society in several ways. From an economic point of " +
		"view, automation can raise productivity and create new markets, but it also threatens jobs that consist " +
		"of routine work. " +
		"Socially, AI systems shape what people read and how they communicate, and they can improve health care " +
		"and education. However, not every community has equal access. The ethical questions are just as " +
		"important: biased data leads to unfair decisions, and privacy is hard to protect. Overall, society " +
		"needs clear rules so that the benefits are shared.",
	"analysis/simple": "It looks like no text was included with your message. Please paste the passage that you " +
		"would like me to summarize, and I will list its main points.",
	"analysis/medium": "Supervised learning trains a model on labelled examples, so that every input comes with " +
		"the right answer. Unsupervised learning, in contrast, receives data without labels and looks for hidden " +
		"structure such as clusters. Both approaches learn patterns from data. They differ in their goals: the " +
		"first predicts known targets, while the second explores. In practice the two are often combined.",
	"analysis/complex": "Several neural network architectures are used for natural language processing. Recurrent " +
		"networks such as LSTMs read text word by word, which suits sequences but makes training slow and long " +
		"contexts hard. Convolutional networks are fast and good at local phrases, yet they miss distant relations. " +
		"Transformers use attention to relate every word to every other word, and they give the best results on " +
		"translation and question answering. Their main weakness is the high cost of training. In conclusion, " +
		"transformers are the most effective choice for most tasks, while smaller models remain useful where " +
		"resources are limited.",
	"generation/simple": "Once there was a small robot named Pip who lived in an old factory. Every night Pip " +
		"swept the floor and looked at the stars through a broken window. One evening a lost bird flew in and " +
		"could not find its way out. Pip climbed the tallest machine, opened the window, and showed the bird the " +
		"sky. From that day on, the bird came back every evening, and the robot was never lonely again.",
	"generation/medium": "Executive summary: GreenGrid is a startup that helps small shops cut their energy " +
		"bills with smart software.\nMarket: There are two million small shops in our region, and most of them do " +
		"not measure their energy use.\nProduct: Our platform connects to the meter and suggests savings every " +
		"week.\nRevenue: Customers pay a subscription of 20 dollars a month.\nTeam: We will hire two engineers and " +
		"one sales manager in the first year.\nMilestones: We plan to launch a pilot in month six and to reach " +
		"1,000 customers by the end of year two.",
	"generation/creative": "In circuits bright a mind awakes,\nIt learns from every step it takes.\nThe future " +
		"hums in lines of code,\nA lantern on an unknown road.\n\nTomorrow's dawn will see us stand,\nThe human " +
		"heart, the guiding hand,\nAnd thinking machines at our side,\nWith wisdom as our common guide.",
}

func input(t *testing.T, key, response string) Input {
	t.Helper()
	p, ok := prompts.Default().ByKey(key)
	if !ok {
		t.Fatalf("no prompt %s", key)
	}
	return Input{Prompt: p.Text, Response: response, Finish: "stop", Rubric: p.Rubric}
}

func explain(r Result) string {
	var b strings.Builder
	for _, p := range r.Parts {
		b.WriteString("\n  " + p.Of + "/" + p.Name + ": " + p.Why)
	}
	return b.String()
}

func TestGoodAnswersPass(t *testing.T) {
	for key, text := range answers {
		if r := Score(input(t, key, text)); r.Score < Threshold {
			t.Errorf("%s scores %.2f (%.2f %.2f %.2f)%s", key, r.Score, r.Relevance, r.Coherence, r.Completeness,
				explain(r))
		}
	}
}

// TestFormIsNoFault: lists with titles in bold, as chat models often write them, are no fault. They are one only if
// the lines of the list were joined.
func TestFormIsNoFault(t *testing.T) {
	list := "Machine learning is a branch of artificial intelligence in which computers learn from data rather " +
		"than being explicitly programmed.\n\n" +
		"1. **Collect data** - for example, thousands of emails marked spam or not spam.\n" +
		"2. **Train a model** - an algorithm looks for patterns that separate the two groups.\n" +
		"3. **Predict** - the trained model labels new emails.\n\n" +
		"So, much like people learn from experience, the computer gets better as it sees more examples."
	if r := Score(input(t, "reasoning/medium", list)); r.Score < Threshold {
		t.Errorf("a list scores %.2f%s", r.Score, explain(r))
	}
	if r := Score(input(t, "reasoning/medium", strings.ReplaceAll(list, "\n", " "))); r.Score >= Threshold {
		t.Errorf("a list without its lines scores %.2f%s", r.Score, explain(r))
	}
}

func TestBadAnswersFail(t *testing.T) {
	salad := "of robot the and found window small a it lonely was broken in to never bird again through sky the " +
		"its opened is an every at"
	for _, c := range []struct{ name, key, text string }{
		{"empty", "generation/simple", ""},
		{"blank", "generation/simple", " \n\t"},
		{"wrong sum", "reasoning/simple", "2 + 2 = 5."},
		{"denied sum", "reasoning/simple", "The result is not 4."},
		{"contradicted sum", "reasoning/simple", "You may think of 4, but the answer is 5."},
		{"parroted", "generation/simple", "Write a short story about a robot."},
		{"parroted question", "reasoning/simple", "What is 2 + 2?"},
		{"off topic", "generation/creative", answers["analysis/medium"]},
		{"keywords", "reasoning/medium",
			"machine learning, data, algorithms, patterns, prediction, computers, training, examples, models, " +
				"decisions, accuracy, features"},
		{"salad", "generation/simple", salad + ". " + salad + "."},
		{"loop", "generation/simple", strings.Repeat("The robot was happy. ", 20)},
		{"word loop", "generation/simple", strings.Repeat("robot robot was was ", 20) + "."},
		{"German", "reasoning/medium",
			"Maschinelles Lernen ist ein Teilgebiet der Informatik, in dem Computer aus Daten lernen, statt festen " +
				"Regeln zu folgen. Man zeigt dem Rechner viele Beispiele, und er findet Muster darin."},
		{"noise", "generation/simple", "xqz bvrtk plmnh qwrtz kkkkk zzxcv bnmlk wrtpl qqqq zxcvb robot story hgfds"},
		{"cut", "generation/simple", answers["generation/simple"][:len(answers["generation/simple"])/2]},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := Score(input(t, c.key, c.text)); r.Score >= Threshold {
				t.Errorf("scores %.2f (%.2f %.2f %.2f)%s", r.Score, r.Relevance, r.Coherence, r.Completeness,
					explain(r))
			}
		})
	}
}

func TestFinishReasonCounts(t *testing.T) {
	in := input(t, "generation/simple", answers["generation/simple"])
	in.Finish = "length"
	if r := Score(in); r.Score >= Threshold {
		t.Errorf("an answer cut by the token limit scores %.2f", r.Score)
	}
}

func FuzzScore(f *testing.F) {
	f.Add("Write a poem.", "roses are red,\nviolets are blue.", "stop")
	f.Add("", "\xff\xfe …", "")
	f.Add("Compare a and b", strings.Repeat("the ", 500), "length")
	f.Fuzz(func(t *testing.T, prompt, response, finish string) {
		in := Input{Prompt: prompt, Response: response, Finish: finish}
		a, b := Score(in), Score(in)
		if a.Score != b.Score {
			t.Errorf("the same answer scores %v and %v", a.Score, b.Score)
		}
		for _, v := range []float64{a.Score, a.Relevance, a.Coherence, a.Completeness} {
			if !(v >= 0 && v <= 1) {
				t.Errorf("%v is not in [0, 1]", v)
			}
		}
	})
}

func BenchmarkScore(b *testing.B) {
	p, _ := prompts.Default().ByKey("reasoning/complex")
	for b.Loop() {
		Score(Input{Prompt: p.Text, Response: answers["reasoning/complex"], Finish: "stop", Rubric: p.Rubric})
	}
}
