package prompts

// The words of the questions. The names are simple, so that an answer can be found as whole words.
var (
	people = []string{"Amara", "Bruno", "Chen", "Dalia", "Elias", "Farid", "Greta", "Hugo", "Ines", "Jonas",
		"Kofi", "Lena", "Mateo", "Nadia", "Olga", "Pedro", "Rosa", "Samir", "Tessa", "Yusuf"}
	goods = []string{"lamps", "notebooks", "bolts", "candles", "cups", "brushes", "hammers", "kettles",
		"mirrors", "pencils", "ropes", "scarves", "baskets", "clocks"}
	weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	cities   = []string{"Lisbon", "Vienna", "Oslo", "Porto", "Krakow", "Ghent", "Turin", "Leeds", "Bilbao",
		"Aarhus", "Graz", "Tampere"}
	companies   = []string{"Northwind", "Alder", "Brightline", "Corvo", "Delphia", "Fenwick", "Halcyon", "Juniper"}
	departments = []string{"sales", "research", "transport", "training", "marketing", "maintenance", "catering"}
	proposals   = []string{"buses run free of charge on weekends", "every school gets a vegetable garden",
		"the old railway line becomes a cycle path", "public libraries stay open until midnight",
		"parking spaces in the centre are replaced by trees", "new houses must have solar panels"}
	heroes = []string{"a young gardener", "a retired sailor", "a curious robot", "a lonely violinist",
		"a tired baker", "a clever fox", "a shy librarian", "a brave postman"}
	places = []string{"an empty theatre", "a frozen harbour", "an old windmill", "a crowded market",
		"a quiet forest", "a mountain station", "a flooded cellar"}
	things = []string{"a silver key", "a letter without a sender", "a broken compass", "a talking mirror",
		"a map of the stars", "a locked suitcase", "a paper crown"}
	projects = []string{"a street festival", "a school theatre performance", "a repair workshop for bicycles",
		"a charity run", "a neighbourhood library", "a summer film night", "a science exhibition"}
	subjects = []string{"autumn", "the sea", "old age", "a long journey", "the first snow", "a big city at night",
		"friendship"}
	images = []string{"a lantern", "a bridge", "a candle", "a window", "a train", "a garden gate"}
)

// related has, for each subject of a poem, words that show the subject without naming it.
var related = map[string][]string{
	"autumn":              {"autumn", "leaf", "leaves", "october", "november", "harvest", "fall"},
	"the sea":             {"sea", "wave", "tide", "ocean", "shore", "salt", "water"},
	"old age":             {"old", "age", "years", "grey", "gray", "memory", "remember", "time"},
	"a long journey":      {"journey", "road", "miles", "travel", "path", "way", "distance"},
	"the first snow":      {"snow", "white", "winter", "flake", "cold", "frost"},
	"a big city at night": {"city", "street", "night", "neon", "traffic", "window", "town"},
	"friendship":          {"friend", "together", "hand", "trust", "side", "laugh"},
}

// The parts of background sentences: subject, verb, object, ending. They have no numbers, no names and no words of a
// question.
var (
	noteSubjects = []string{"the committee", "a former tenant", "the caretaker", "one of the visitors",
		"the evening shift", "the architect", "an elderly neighbour", "the choir", "the new trainee",
		"the museum guide", "the night porter", "a travelling merchant"}
	noteVerbs = []string{"described", "praised", "mentioned", "forgot", "painted", "repaired", "photographed",
		"questioned", "inherited", "admired", "restored", "discussed"}
	noteObjects = []string{"the wooden staircase", "the blue curtains", "the smell of fresh paint",
		"the shape of the roof", "the faded portraits", "the marble floor", "the narrow balcony",
		"the sound of the organ", "the carved ceiling", "the iron fence", "the view over the valley",
		"the worn carpet"}
	noteEnds = []string{"during a quiet afternoon", "without further comment", "in a rather cheerful tone",
		"as people often do", "before the lights went out", "although nobody had asked", "with great patience",
		"on the way to the archive", "after a long pause", "in the margin of a sketchbook", "to everyone's surprise",
		"while it was raining outside"}
)
