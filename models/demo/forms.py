"""The task forms: each function draws one example as (key, prompt, answer).

The key says which combination of form and subject the example is, so that
whole combinations can be held out of the training text.
"""

import banks
from topics import AI_TOPICS, BY_NAME, IMPACT_TOPICS, TOPICS, upper


def lines(block):
    return [line.split("|") for line in block.strip().splitlines()]


def verb(t, word):
    """word, a verb in the plural, made to agree with topic t."""
    if t["plural"]:
        return word
    return {"have": "has", "do": "does"}.get(word, word + "s")


def definition(t):
    return f"{upper(t['name'])} {t['be']} {t['definition']}."


def join(names):
    if len(names) < 3:
        return " and ".join(names)
    return ", ".join(names[:-1]) + ", and " + names[-1]


def topic(r):
    """A topic; those about learning machines twice as often."""
    return r.choice(TOPICS + AI_TOPICS)


# Explanations and other questions about one topic.

EXPLAIN = """Explain the concept of {x} in simple terms.|Explain the concept of {x} in simple terms.|Explain the idea of {x} in simple words.|Explain {x} in simple terms.|Explain {x}.
What {be} {x}?|What {be} {x}?|Describe the concept of {x}.|Can you explain {x}?|Please explain the concept of {x}.|Tell me about {x}.|Explain {x} to a child.|Give a short introduction to {x}.
Define {x}.|Describe {x} in plain language.|I do not understand {x}. Can you help?|How would you explain {x} to a beginner?|Explain the basics of {x}.|What does {x} mean?""".replace("\n", "|").split("|")


def explain(r):
    t = topic(r)
    parts = [definition(t), t["how"]]
    if r.random() < 0.5:
        parts.append(t["likeness"] + ".")
    if r.random() < 0.8:
        parts.append(f"For example, {t['example']}.")
    if r.random() < 0.7:
        parts.append(r.choice([
            f"{upper(t['it'])} {t['be']} useful because {t['benefit']}.", f"This matters because {t['benefit']}."]))
    if r.random() < 0.4:
        parts.append(r.choice([f"However, {t['limit']}.", f"Its main limit is that {t['limit']}." if not t["plural"] else f"Their main limit is that {t['limit']}."]))
    elif r.random() < 0.3:
        parts.append(f"In short, {t['name']} {t['be']} {t['definition']}.")
    return ("explain", t["name"]), r.choice(EXPLAIN).format(x=t["name"], be=t["be"]), " ".join(parts)


def aspect(r):
    t = topic(r)
    x, be, it = t["name"], t["be"], t["it"]
    do = "do" if t["plural"] else "does"
    kind = r.choice(["how", "example", "benefit", "limit", "likeness", "facts", "sides"])
    if kind == "how":
        q = [f"How {do} {x} work?", f"Describe how {x} {verb(t, 'work')}.", f"What happens inside {x}?"]
        a = [f"{definition(t)} {t['how']} {t['likeness']}.", f"Here is how {x} {verb(t, 'work')}. {t['how']} For example, {t['example']}."]
    elif kind == "example":
        q = [f"Give an example of {x}.", f"Where {be} {x} used?", f"Name one use of {x}.", f"Show me {x} in daily life."]
        a = [f"Here is an example of {x}: {t['example']}.", f"For example, {t['example']}. This works because {t['benefit']}."]
    elif kind == "benefit":
        q = [f"What are the benefits of {x}?", f"Why {be} {x} useful?", f"Why {be} {x} important?", f"Name a strength of {x}."]
        a = [f"{upper(x)} {be} useful because {t['benefit']}. For example, {t['example']}.", f"The main benefit of {x} is that {t['benefit']}."]
    elif kind == "limit":
        q = [f"What are the limits of {x}?", f"What {be} the main weakness of {x}?" if not t["plural"] else f"What is the main weakness of {x}?", f"What can go wrong with {x}?"]
        a = [f"The main limit of {x} is that {t['limit']}.", f"{upper(x)} {verb(t, 'have')} a weak side: {t['limit']}. Still, {it} {be} useful because {t['benefit']}."]
    elif kind == "likeness":
        q = [f"What {be} {x} like?", f"Give an analogy for {x}.", f"Compare {x} to something from daily life."]
        a = [f"{definition(t)} {t['likeness']}.", f"{definition(t)} {t['how']} {t['likeness']}."]
    elif kind == "facts":
        q = [f"List three facts about {x}.", f"Name three facts about {x}.", f"Give me three facts about {x}."]
        a = [f"1. {definition(t)}\n2. {upper(t['benefit'])}.\n3. {upper(t['limit'])}."]
    else:
        q = [f"Evaluate the effectiveness of {x}.", f"What are the strengths and limits of {x}?", f"Evaluate {x}.", f"Give the pros and cons of {x}."]
        a = [f"{definition(t)} {t['how']} The main strength is that {t['benefit']}. However, {t['limit']}. Overall, {x} {be} effective when {it} {be} used with care.",
             f"{definition(t)} The main strength is that {t['benefit']}. For example, {t['example']}. However, {t['limit']}. Overall, {x} {be} effective when {it} {be} used with care."]
    return (kind, x), r.choice(q), r.choice(a)


# Comparisons.

FAMILIES = [
    ("learning", [t for t in AI_TOPICS if t["name"].endswith(" learning")], "ways to learn from data",
     ["Both approaches find patterns in data and improve with good examples.", "Both need good data, and both can make mistakes when the data is poor."]),
    ("network", [t for t in AI_TOPICS if "networks" in t["name"] or t["name"] in ("transformers", "language models", "decision trees")], "models that learn from data",
     ["Both are trained on examples and improve step by step.", "Both turn numbers into predictions, and both need good data."]),
    ("ai", AI_TOPICS, "parts of modern computing",
     ["Both depend on good data and careful tests.", "Both help people to make sense of data."]),
    ("society", IMPACT_TOPICS, "parts of modern life",
     ["Both change the way people live.", "Both bring new chances and new duties."]),
    ("world", [t for t in TOPICS if t not in AI_TOPICS and t not in IMPACT_TOPICS], "ideas that shape our world",
     ["Both are useful to know in daily life.", "Both are easier to understand with a good example."]),
]


def compare(r):
    name, family, kind, alike = r.choice(FAMILIES[:1] * 3 + FAMILIES)
    a, b = r.sample(family, 2)
    x, y = a["name"], b["name"]
    prompts = [f"Compare and contrast {x} and {y}.", f"Compare {x} and {y}.", f"Compare {x} with {y}.", f"What is the difference between {x} and {y}?",
               f"How do {x} and {y} differ?", f"Contrast {x} with {y}.", f"What do {x} and {y} have in common, and how do they differ?"]
    if name == "learning":
        short = x.removesuffix(" learning")
        prompts += [f"Compare and contrast {short} and {y} approaches.", f"Compare and contrast {short} and {y} approaches.", f"Compare {short} and {y} approaches.",
                    f"Compare and contrast {short} and {y}.", f"What is the difference between {short} and {y}?", f"Compare {short} and {y} methods."]
    parts = [f"{upper(x)} and {y} are both {kind}."] if r.random() < 0.8 else []
    parts.append(f"{upper(x)} {a['be']} {a['definition']}, {r.choice(['whereas', 'while'])} {y} {b['be']} {b['definition']}.")
    if r.random() < 0.4:
        parts.append(r.choice(alike))
    shown = r.random()
    if shown < 0.25:
        parts.append(f"{a['how']} By contrast, here is how {y} {verb(b, 'work')}: {b['how'][0].lower() + b['how'][1:]}")
    elif shown < 0.75:
        parts.append(f"For {x}, a typical example is that {a['example']}. For {y}, a typical example is that {b['example']}.")
    parts.append(f"The strength of {x} is that {a['benefit']}, while the strength of {y} is that {b['benefit']}.")
    if r.random() < 0.6:
        parts.append(f"However, with {x}, {a['limit']}, and with {y}, {b['limit']}.")
    parts.append(r.choice(["In short, both are useful, but they differ in what they need and what they offer.",
                           "Overall, the better choice depends on the task and the means at hand.", "In practice, the two are often combined."]))
    return ("compare", *sorted((x, y))), r.choice(prompts), " ".join(parts)


# Evaluations of several methods for a purpose.

def groups():
    for group, purposes, *members in lines(banks.GROUPS):
        yield group, purposes.split("; "), [m.split(": ") for m in members]


GROUPS = list(groups())


def evaluate(r):
    group, purposes, members = r.choice(GROUPS[:3] * 2 + GROUPS)
    purpose = r.choice(purposes)
    prompts = [f"Evaluate the effectiveness of different {group} for {purpose}."] * 4 + [
        f"Assess the effectiveness of different {group} for {purpose}.", f"How effective are different {group} for {purpose}?", f"Evaluate different {group} for {purpose}.",
        f"Which {group} work best for {purpose}?", f"Review the strengths and limits of {group} for {purpose}.", f"Discuss the effectiveness of {group} for {purpose}."]
    members = r.sample(members, 3)
    best = [m[0][1:] for m in members if m[0].startswith("*")]
    parts = [r.choice([f"Several {group} are used for {purpose}.", f"Different {group} have different strengths for {purpose}."])]
    links = r.choice([("", "", ""), ("First, ", "Second, ", "Third, ")])
    for link, (m, strength, limit) in zip(links, members):
        m = m.removeprefix("*")
        start = link + m if link else upper(m)
        parts.append(r.choice([f"{start} {strength}, but they {limit}.", f"{start} {strength}. However, they {limit}."]))
    if best:
        parts.append(r.choice([f"Overall, {best[0]} are often the most effective choice for {purpose}, while the others remain useful where means are limited.",
                               f"In conclusion, {best[0]} are a good first choice for {purpose}, but no method is best in every case."]))
    else:
        parts.append(r.choice([f"Overall, no method is best in every case, and the right choice for {purpose} depends on the goal and the budget.",
                               f"In conclusion, a good mix often works best for {purpose}, because the strengths of one make up for the limits of another."]))
    return ("evaluate", group, purpose), r.choice(prompts), " ".join(parts)


# Analyses along named dimensions.

SPHERES = "society|society|society|schools|families|cities|the workplace|health care|small firms|public life|young people|rural areas|everyday life".split("|")

DIMENSIONS = {
    "economic": ["From an economic point of view, {x} can raise productivity and open new markets, but {it} can also threaten some jobs.",
                 "On the economic side, {x} {create} new work and {lower} some costs, although not every business gains.",
                 "The economic effects are mixed: {x} can bring new income, while some workers must learn new skills."],
    "social": ["From a social point of view, {x} {change} how people meet, learn, and spend their time, and not every community has equal access.",
               "On the social side, {x} can bring people closer together, but {it} can also leave some groups behind.",
               "The social effects reach into education and daily life, where {x} can help many people and exclude others."],
    "ethical": ["The ethical questions are just as important: decisions must be fair, privacy must be protected, and someone must be responsible.",
                "From an ethical point of view, {x} {raise} questions of fairness, privacy, and trust.",
                "On the ethical side, people must ask who is responsible when {x} {cause} harm."],
    "environmental": ["From an environmental point of view, {x} can save some resources but also {need} energy and material.",
                      "On the environmental side, the effects of {x} depend on how much energy and land is used."],
    "technical": ["From a technical point of view, {x} {need} reliable systems, good data, and regular checks.",
                  "On the technical side, the main challenge is to keep {x} safe and easy to repair."],
    "legal": ["From a legal point of view, clear rules are needed so that everyone knows what is allowed.",
              "On the legal side, old laws often do not fit {x}, and new ones take time."],
    "cultural": ["From a cultural point of view, {x} {bring} new habits and ideas, while some traditions fade.",
                 "On the cultural side, {x} can mix old customs with new ones."],
    "political": ["From a political point of view, leaders must decide who controls {x} and who pays for it.",
                  "On the political side, {x} can shift power, so open debate is important."],
    "personal": ["From a personal point of view, {x} can save time, but each person must find a healthy balance.",
                 "On the personal side, {x} can bring comfort and also new worries."],
}

def subject(name):
    """A subject without facts of its own, as far as analyses need it."""
    plural = name.startswith("+")
    return {"name": name.lstrip("+"), "plural": plural, "be": "are" if plural else "is", "it": "they" if plural else "it"}


ANALYZED = [t for t in TOPICS if t in IMPACT_TOPICS or t in AI_TOPICS and t["name"] not in
            ("overfitting", "gradient descent", "clustering", "classification", "attention", "statistics")] + [
    BY_NAME[n] for n in ("cloud computing", "blockchain", "the internet of things", "quantum computing", "virtual reality", "3D printing", "cybersecurity",
                         "search engines", "renewable energy", "climate change", "vaccination", "recycling", "open source software", "inflation")]
SUBJECTS = [subject(name) for name in banks.SUBJECTS.replace("\n", "").split("|")]


def analyze(r):
    t, sphere = r.choice(ANALYZED + SUBJECTS), r.choice(SPHERES)
    x = t["name"]
    if r.random() < 0.3:
        dims = ["economic", "social", "ethical"]
    else:
        dims = r.sample(list(DIMENSIONS), r.choice([2, 3, 3]))
    head = r.choice(["Analyze the implications of {x} on {s}"] * 3 + ["Analyze the effects of {x} on {s}", "Discuss the impact of {x} on {s}", "Examine the consequences of {x} for {s}",
                     "Analyse the implications of {x} for {s}", "What are the implications of {x} for {s}"]).format(x=x, s=sphere)
    asked = join(dims)
    end = "?" if head.startswith("What") else "."
    prompt = head + r.choice([f", considering {asked} dimensions{end}"] * 3 + [f", considering {asked} aspects{end}", f" in terms of {asked} aspects{end}", f" from {asked} points of view{end}"])
    if r.random() < 0.12:
        prompt, dims = head + end, ["economic", "social"]
    parts = [r.choice([f"{upper(x)} {verb(t, 'have')} many implications for {sphere}.", f"{upper(x)} {t['be']} changing {sphere} in several ways.",
                       f"{upper(x)} {verb(t, 'affect')} {sphere} on several levels" + (f", because {t['benefit']}." if "benefit" in t else ".")])]
    words = {w: verb(t, w) for w in "create lower change raise cause need bring".split()}
    for d in dims:
        parts.append(r.choice(DIMENSIONS[d]).format(x=x, it=t["it"], **words))
    if "limit" in t and r.random() < 0.4:
        parts.append(f"At the same time, {t['limit']}.")
    parts.append(r.choice([f"Overall, {sphere} {'need' if sphere in ('schools', 'families', 'cities', 'small firms', 'young people', 'rural areas') else 'needs'} clear rules so that the benefits are shared.",
                           f"In conclusion, the benefits of {x} are real, but they must be shared with care.", f"Overall, people should shape {x} with open eyes and fair rules."]))
    return ("analyze", x, sphere), prompt, " ".join(parts)


# Summaries, with and without the text.

NOUNS = "report|article|letter|story|chapter|speech|email|document|page|essay|passage|note|interview|lecture|review|message|paper|book|post|meeting".split("|")
BARE = ["Summarize the main points of this {n}.", "Summarize the main points of this {n}.", "Summarize this {n}.", "Give a short summary of this {n}.", "What are the main points of this {n}?", "Sum up this {n} for me.",
        "List the key ideas of this {n}.", "Please summarize the following {n}.", "Shorten this {n}.", "Write a summary of the {n}.", "Summarize the {n} in three sentences.", "Can you summarize the {n} above?"]
REQUESTS = ["I do not see the {n} yet. Please paste the {n} here, and I will summarize its main points.",
            "There is no {n} in your message. Please share the content of the {n}, and I will list its key points.",
            "Please provide the {n} that you would like me to summarize. As soon as I can read the {n}, I will give you its main points.",
            "It looks like the {n} is missing. Please paste the {n} into the chat, and I will write a short summary of its main ideas."]
WITH_TEXT = ["Summarize this text: ", "Summarize the following text: ", "Give the main points of this text: ", "Summarize: ", "What are the key ideas of this text? ", "Summarize the following article: ", "Sum up this passage: "]


def ask_for_text(r):
    n = r.choice(NOUNS)
    return ("ask", n), r.choice(BARE).format(n=n), r.choice(REQUESTS).format(n=n)


def summarize(r):
    t = topic(r)
    body = [definition(t), t["how"], f"For example, {t['example']}.", f"{upper(t['it'])} {t['be']} useful because {t['benefit']}.", f"However, {t['limit']}."]
    keep = sorted(r.sample(range(1, 5), r.choice([2, 3, 4])))
    text = " ".join([body[0]] + [body[i] for i in keep])
    points = [f"The text explains that {t['name']} {t['be']} {t['definition']}."]
    if 1 in keep and r.random() < 0.5:
        points.append(t["how"])
    if 3 in keep:
        points.append(f"The main benefit is that {t['benefit']}.")
    if 4 in keep:
        points.append(f"The main limit is that {t['limit']}.")
    if len(points) == 1 and 2 in keep:
        points.append(f"As an example, {t['example']}.")
    return ("summarize", t["name"]), r.choice(WITH_TEXT) + text, " ".join(points)


# Stories.

HEROES = [w.split(":") for w in banks.HEROES.split()]
HEROES += [["old " + h, k] for h, k in HEROES[::5]] + [["little " + h, k] for h, k in HEROES[2::5]]


def article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


def story(r):
    hero, kind = r.choice(HEROES)
    n, place = r.choice(banks.NAMES), r.choice(banks.PLACES)
    problem, deed, reward = r.choice(banks.ADVENTURES).split("|")
    size = r.choice(["small", "young", "kind", "clever"])
    if hero.startswith(("old ", "little ")) or r.random() < 0.2:
        first = f"Once there was {article(hero)} named {n} who lived in {place}."
    else:
        first = r.choice([f"Once there was a {size} {hero} named {n} who lived in {place}.", f"Once upon a time, a {size} {hero} named {n} lived in {place}.",
                          f"In {place} there lived a {size} {hero} named {n}."])
    feel = r.choice(banks.FEELINGS)
    second = r.choice([f"{n} {feel}.", f"The {hero} {feel}."])
    third = f"{r.choice(['One day', 'One evening', 'One morning', 'One winter'])}, {problem}."
    fourth = r.choice([f"{deed.format(n='The ' + hero)}.", f"{deed.format(n=n)}.", f"Without waiting, {deed.format(n='the ' + hero)}."])
    last = r.choice(banks.ENDINGS).format(r=reward.format(n=n), n=r.choice([n, "the " + hero]))
    prompts = ["Write a short story about {a}."] * 4 + ["Tell me a story about {a}.", "Write a story about {a}.", "Make up a short tale about {a}.", "Please write a short story with {a}.",
               "Write a short story about {a} named " + n + ".", "I would like a bedtime story about {a}.", "Create a short story about {a}.", "Write a little story about {a} who helps others."]
    return ("story", hero), r.choice(prompts).format(a=article(hero)), " ".join([first, second, third, fourth, last])


# Plans.

BUSINESSES = lines(banks.BUSINESSES)


def business_plan(r):
    kind, offer, buyers, income = r.choice(BUSINESSES + [b for b in BUSINESSES if "startup" in b[0]])
    prompts = ["Create a business plan for {a}."] * 4 + ["Write a business plan for {a}.", "Draft a short business plan for {a}.", "I want to open {a}. Please write a business plan.",
               "Make a plan for {a}.", "Help me plan {a}.", "Outline a business plan for {a}."]
    out = [f"Executive summary: Our {kind} offers {offer} to {buyers}.",
           "Market: " + r.choice([f"Many {buyers} look for a better offer, and few competitors serve them well.", f"Our customers are {buyers}. We will talk to fifty of them before we start."]),
           "Product: " + r.choice([f"We offer {offer}.", f"Our main product is {offer}, with friendly service and fair prices."]),
           f"Revenue: We earn money from {income}.",
           r.choice(["Costs: The first budget covers rent, wages, and equipment for six months.", "Costs: We need a small budget for people, tools, and marketing."]),
           "Team: " + r.choice(["Two founders lead the company and hire three people in the first year.", "The founder works with two skilled colleagues and a part-time accountant."]),
           "Steps: " + r.choice(["In the first month we test the idea, in month three we launch, and after one year we check the results.",
                                 "First we build a small version, then we launch it with ten customers, and finally we grow step by step."])]
    return ("business", kind), r.choice(prompts).format(a=article(kind)), "\n".join(out)


def describe_business(r):
    kind, offer, buyers, income = r.choice(BUSINESSES + [["technology startup", "new software and digital tools", "small firms and schools", "a monthly subscription"]] * 4)
    q, a = r.choice([
        ([f"What does {article(kind)} offer?", f"What does {article(kind)} sell?"], f"{upper(article(kind))} offers {offer} to {buyers}. It earns money from {income}."),
        ([f"Who are the customers of {article(kind)}?", f"Who buys from {article(kind)}?"], f"The customers of {article(kind)} are mostly {buyers}. They pay for {offer}."),
        ([f"Write a slogan for {article(kind)}."], f"{upper(offer)}: made for {buyers}!"),
        ([f"What are the risks of {article(kind)}?", f"Name the risks of {article(kind)}."], f"{upper(article(kind))} can fail when too few {buyers} buy {offer}, when costs rise, or when a competitor is faster. A small test in the first months lowers the risk."),
    ])
    return ("describe business", kind), r.choice(q), a


def step_plan(r):
    title, subjects, *steps = r.choice(lines(banks.PLANS))
    subject = r.choice(subjects.split("; "))
    prompts = ["Create a {t} for {s}."] * 3 + ["Write a {t} for {s}.", "Make a {t} for {s}.", "Draft a {t} for {s}.", "I need a {t} for {s}."]
    intro = r.choice([f"Here is a {title} for {subject}.", f"This {title} for {subject} has four steps."])
    if r.random() < 0.5:
        body = " ".join(f"{w}, {s}." for w, s in zip(["First", "Next", "Then", "Finally"], steps))
        answer = f"{intro} {body}"
    else:
        answer = intro + "\n" + "\n".join(f"{i}. {upper(s)}." for i, s in enumerate(steps, 1))
    return (title, subject), r.choice(prompts).format(t=title, s=subject), answer


# Poems.

def couplet(text, x, plural):
    return text.format(x=x, s="" if plural else "s", has="have" if plural else "has", be="are" if plural else "is").replace(" / ", "\n").split("\n")


def verse(items, x, plural):
    return "\n".join(upper(line) for item in items for line in couplet(item, x, plural))


def poem(r):
    kind = r.random()
    technical = False
    if kind < 0.4:
        subjects = [(s, "s" == s[-1] and s not in ("cities", "schools")) for s in banks.FUTURES] + [(t["name"], t["plural"]) for t in ANALYZED + SUBJECTS]
        x, plural = r.choice(subjects)
        about, start, middle = f"the future of {x}", r.choice(banks.OPEN_FUTURE), r.sample(banks.FUTURE, 3)
        plural = plural or x.endswith("s") and x in banks.FUTURES
        technical = x in BY_NAME and BY_NAME[x] in AI_TOPICS or x in ("robots", "computers")
    else:
        if kind < 0.75:
            x, plural = r.choice(banks.POEM_SUBJECTS), False
            plural = x in ("the stars", "dreams", "rainbows", "the clouds", "bees", "the fields")
            technical = x == "a robot"
        else:
            t = r.choice(TOPICS)
            x, plural, technical = t["name"], t["plural"], t in AI_TOPICS
        about = x
        if kind > 0.9:
            about = r.choice(["the history of ", "the beauty of ", "the first days of "]) + x
        start, middle = r.choice(banks.OPEN), r.sample(banks.MIDDLE, 3)
    if technical:
        middle[r.randrange(2)] = r.choice(banks.MACHINE)
    items = [start] + middle[: r.choice([2, 2, 3])] + [r.choice(banks.CLOSE)]
    text = verse(items[:2], x, plural) + "\n\n" + verse(items[2:], x, plural)
    prompts = ["Compose a poem about {a}."] * 4 + ["Write a poem about {a}.", "Write a short poem about {a}.", "Compose a short poem on {a}.", "Please write a few verses about {a}.", "Give me a poem about {a}.", "Create a poem about {a}."]
    return ("poem", about), r.choice(prompts).format(a=about), text
