package faults

import (
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// answers holds good answers to the nine prompts of TC-L1-COMP-MIXTRAL-003, by the prompt's key, so that a healthy
// server also passes the quality check.
var answers = map[string]string{
	"reasoning/simple": "2 + 2 equals 4. Adding two to two gives four.",
	"reasoning/medium": "Machine learning is a way for computers to learn from examples instead of following rules " +
		"that someone wrote by hand. " +
		"A program looks at a lot of data, finds patterns in it, and uses those patterns to make predictions about " +
		"new cases. " +
		"Think of a child who learns to recognize dogs by seeing many of them: nobody lists the rules, but after " +
		"enough examples the child gets it right. " +
		"In the same way, a model that has studied thousands of emails can decide whether a new one is spam.",
	"reasoning/complex": "Artificial intelligence is changing society in several ways at once. " +
		"In economic terms, it raises productivity and creates new kinds of work, but it also replaces some jobs, " +
		"so workers need training and support while the market adjusts. " +
		"Its social effects are just as large: better tools can widen access to education and health care, yet " +
		"people may become isolated or misled when machines choose what they see. " +
		"There are ethical questions as well, because systems that learn from biased data can treat people " +
		"unfairly, and because it is often unclear who is responsible for a decision. " +
		"A sensible policy therefore supports innovation, protects privacy, and keeps humans accountable for the " +
		"results.",
	"analysis/simple": "I would be glad to summarize the main points, but no text came with your message. " +
		"Please paste the passage or document here, and I will give you a short summary of its key ideas.",
	"analysis/medium": "Supervised and unsupervised learning both find patterns in data, but they differ in what " +
		"the data contains. " +
		"In supervised learning every training example has a label, so the model learns to predict the right " +
		"output and its errors can be measured directly. " +
		"Unsupervised learning works without labels: it looks for hidden structure, such as clusters of similar " +
		"customers. " +
		"Supervised methods are usually more accurate for a clear task, while unsupervised ones are useful when " +
		"labels are missing or too expensive. " +
		"In practice both approaches are often combined.",
	"analysis/complex": "Different neural network architectures suit different tasks in natural language " +
		"processing. " +
		"Recurrent networks such as the LSTM read a sentence word by word and handle short sequences well, but " +
		"they are slow to train and forget distant context. " +
		"Convolutional networks are fast and effective for text classification, yet they see only a limited window " +
		"of words. " +
		"Transformers use attention to relate every word to every other, which makes them the most accurate models " +
		"for translation, summarization and dialogue. " +
		"Their weakness is cost: memory and computation grow quickly with the length of the text. " +
		"Overall, transformers are the best choice when resources allow, while smaller models remain useful on " +
		"limited hardware.",
	"generation/simple": "A small robot named Tin lived at the edge of a quiet town. Every morning it swept the " +
		"square and watered the flowers in front of the bakery. " +
		"One day a storm knocked out the lights, and a little girl lost her way in the dark. Tin turned on its " +
		"lamp, took her hand, and led her home through the rain. " +
		"The next morning the whole town came to say thank you. Someone had painted a red heart on its chest, and " +
		"from that day on the robot was never alone.",
	"generation/medium": "Our startup will build a software platform that helps small shops manage their stock. " +
		"The product watches sales, predicts demand, and orders goods before they run out. " +
		"Our first market is independent grocery stores, whose owners spend hours each week on this by hand; " +
		"larger competitors ignore these customers. " +
		"Revenue comes from a monthly subscription of forty dollars per shop, and the main costs are salaries and " +
		"hosting. " +
		"The founding team consists of two engineers and a former store manager. " +
		"In the first six months we launch a pilot with ten shops, then hire a sales lead, and we plan to reach " +
		"profit by the end of the second year with a budget of three hundred thousand dollars.",
	"generation/creative": "In quiet rooms where silicon dreams,\nA newborn mind begins to wake,\nIt follows " +
		"thought like mountain streams\nThat find the valley and the lake.\n\n" +
		"Tomorrow it will learn our song,\nAnd help us read the distant skies,\nIt shall not judge our right or " +
		"wrong,\nBut ask us kindly to be wise.\n\n" +
		"So let us build with open hands\nA future that the heart has planned,\nWhere code and human spirit " +
		"meet,\nAnd neither makes the other's seat.",
}

// thought is the reasoning that HealthyReasoning sends before its answer.
const thought = "Let me see what is asked. "

var thoughtWords = len(tokens(thought))

const otherwise = "That is a good question. The short answer is that it depends on the situation, so it helps to " +
	"look at the facts first, " +
	"to weigh the benefits against the costs, and then to choose the option that serves people best."

// answerTo returns the answer to the prompt that a text contains. It searches the text because salted prompts have
// words before or after the prompt.
func answerTo(text string) string {
	for _, p := range prompts.Default().Prompts {
		if strings.Contains(text, p.Text) {
			return answers[p.Key()]
		}
	}
	return otherwise
}

// tokens splits a text into words, each with the white space after it. One word is one token, as /tokenize counts
// them.
func tokens(text string) []string {
	var out []string
	space := false
	from := 0
	for i, r := range text {
		if isSpace := r == ' ' || r == '\n'; isSpace != space {
			if space {
				out, from = append(out, text[from:i]), i
			}
			space = isSpace
		}
	}
	return append(out, text[from:])
}
