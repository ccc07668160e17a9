"""Short task forms: arithmetic, facts, tips and small talk, each as
(key, prompt, answer) like those in forms.py."""

import re

import banks
from topics import TOPICS, upper

# Sums and the like. Every number is written in digits; the tokenizer gives
# each digit a piece of its own, so that "12 + 2" teaches the column 2 + 2.

PLUS = """What is {a} + {b}?|What is {a} + {b}?|What is {a} + {b}?|What is {a} plus {b}?|How much is {a} + {b}?|Add {a} and {b}.|Calculate {a} + {b}.|{a} + {b} = ?|{a} + {b}|What is the sum of {a} and {b}?|Please add {a} and {b}.|Compute {a} + {b}.""".split("|")
MINUS = """What is {a} - {b}?|What is {a} - {b}?|What is {a} minus {b}?|Subtract {b} from {a}.|Calculate {a} - {b}.|{a} - {b} = ?|How much is {a} - {b}?""".split("|")
TIMES = """What is {a} * {b}?|What is {a} times {b}?|Multiply {a} by {b}.|Calculate {a} * {b}.|What is {a} x {b}?""".split("|")
NAMES = "Anna Ben Clara David Eva Frank Greta Hugo Ines Jack".split()
THINGS = "apples pears books coins stones cards pencils shells flowers eggs".split()


def count_on(a, b):
    """The sum with its working: a model this small adds by counting, as children do."""
    start, steps = (b, a) if a < 10 <= b else (a, b)
    if not 0 < steps < 10:
        return f"{a} + {b} = {a + b}."
    numbers = ", ".join(str(start + k) for k in range(1, steps + 1))
    return f"Count {steps} on from {start}: {numbers}. So {a} + {b} = {a + b}."


def plus(r):
    kind = r.random()
    if kind < 0.65:
        a, b = r.randrange(10), r.randrange(10)
    elif kind < 0.95:
        a, b = r.randrange(30), r.randrange(10)
        a, b = r.choice([(a, b), (b, a)])
    else:
        a, b = r.randrange(100), r.randrange(100)
    return ("sum", *sorted((a, b))), r.choice(PLUS).format(a=a, b=b), count_on(a, b)


def minus(r):
    b, c = r.randrange(12), r.randrange(12)
    return ("difference", b + c, b), r.choice(MINUS).format(a=b + c, b=b), f"{b + c} - {b} = {c}."


def times(r):
    a, b = r.randrange(11), r.randrange(11)
    q = r.choice(TIMES)
    sign = "x" if " x " in q else "*"
    return ("product", *sorted((a, b))), q.format(a=a, b=b), f"{a} {sign} {b} = {a * b}."


def word_problem(r):
    n, t = r.choice(NAMES), r.choice(THINGS)
    a, b = r.randrange(1, 13), r.randrange(1, 13)
    if r.random() < 0.5:
        return ("sum", *sorted((a, b))), f"{n} has {a} {t} and gets {b} more. How many {t} does {n} have now?", f"{n} has {a} + {b} = {a + b} {t} now."
    a = a + b
    return ("difference", a, b), f"{n} has {a} {t} and gives away {b}. How many {t} are left?", f"There are {a} - {b} = {a - b} {t} left."


def number_fact(r):
    a, b = r.randrange(100), r.randrange(100)
    if a == b:
        b += 1
    s, d = r.randrange(1, 30), r.choice([1, 2, 3, 5, 10])
    run = ", ".join(str(s + i * d) for i in range(4))
    even = "even" if a % 2 == 0 else "odd"
    return r.choice([
        (("larger", a, b), f"Which number is larger, {a} or {b}?", f"{max(a, b)} is larger than {min(a, b)}."),
        (("even", a), f"Is {a} even or odd?", f"{a} is {even}."),
        (("next", s, d), f"What comes next: {run}?", f"The next number is {s + 4 * d}, because each number is {d} more than the one before."),
        (("after", a), f"Which number comes after {a}?", f"{a + 1} comes after {a}."),
    ])


CAPITALS = dict(p.split(":") for p in """France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon Austria:Vienna Poland:Warsaw Greece:Athens Norway:Oslo Sweden:Stockholm
Finland:Helsinki Denmark:Copenhagen Ireland:Dublin Belgium:Brussels Hungary:Budapest Japan:Tokyo China:Beijing Egypt:Cairo Kenya:Nairobi Canada:Ottawa Cuba:Havana Peru:Lima
Chile:Santiago Turkey:Ankara Russia:Moscow India:Delhi Australia:Canberra Switzerland:Bern England:London Iceland:Reykjavik""".split())
OPPOSITES = dict(p.split(":") for p in """hot:cold big:small old:young fast:slow high:low light:dark early:late open:closed rich:poor hard:soft loud:quiet wet:dry full:empty
happy:sad strong:weak day:night clean:dirty long:short deep:shallow true:false first:last heavy:light near:far right:wrong""".split())

FACTS = """
What colour is the sky?|On a clear day, the sky is blue.
How many days are in a week?|There are 7 days in a week.
How many months are in a year?|There are 12 months in a year.
How many hours are in a day?|There are 24 hours in a day.
How many minutes are in an hour?|There are 60 minutes in an hour.
What is the largest planet?|Jupiter is the largest planet of our solar system.
What do bees make?|Bees make honey and wax.
What do plants need to grow?|Plants need light, water, air, and good soil.
Why is the sky blue?|The sky is blue because air scatters blue light more than red light.
Why do leaves fall in autumn?|Trees drop their leaves in autumn to save water and energy during the cold months.
Why do we sleep?|We sleep so that the body can repair itself and the brain can sort what it learned.
What is water made of?|Water is made of hydrogen and oxygen.
What is the fastest land animal?|The cheetah is the fastest land animal.
What is the tallest animal?|The giraffe is the tallest animal.
Who wrote Romeo and Juliet?|William Shakespeare wrote Romeo and Juliet.
Who painted the Mona Lisa?|Leonardo da Vinci painted the Mona Lisa.
How many legs does a spider have?|A spider has 8 legs.
What is ice?|Ice is frozen water.
Where does the sun rise?|The sun rises in the east.
What causes the tides?|The tides are caused mainly by the pull of the moon on the sea.
What is a robot?|A robot is a machine that senses its surroundings and acts on its own, such as an arm that welds cars.
What can a robot do?|A robot can lift, weld, clean, and carry things, and some robots can talk with people.
How does a robot move?|A robot moves with motors and wheels or legs, and a program tells the motors what to do.
Name three parts of a robot.|1. Sensors that measure the surroundings.\\n2. A computer that decides.\\n3. Motors that move the robot.
Is a robot alive?|No. A robot is a machine: it moves and reacts, but it does not live or feel.
Describe a robot.|A robot is a machine with sensors, a computer, and motors. The sensors see the world, the computer decides, and the motors move the robot.
"""

TIPS = """
sleeping better|Go to bed at the same time each day.|Keep the room dark and cool.|Put away bright screens an hour before sleep.
learning a language|Study a little every day.|Speak from the first week on, even with mistakes.|Read simple stories that you enjoy.
saving money|Write down what you spend.|Cook at home more often.|Move a fixed sum to savings each month.
staying healthy|Walk for half an hour each day.|Eat vegetables with every meal.|Sleep long enough.
writing well|Use short words and short sentences.|Say one thing at a time.|Read your text aloud before you send it.
a job interview|Learn about the company first.|Prepare short examples of your work.|Ask two honest questions at the end.
giving a talk|Begin with a question or a story.|Use few words on each slide.|Practise aloud three times.
working in a team|Listen before you speak.|Share your plans early.|Thank others for their help.
cooking for guests|Choose a dish that you know well.|Prepare most of it the day before.|Ask your guests what they do not eat.
using less energy|Switch off lights that nobody needs.|Wash clothes at a low temperature.|Take the train or the bicycle when you can.
learning to program|Start with a small project that you like.|Read the error messages with care.|Show your code to others.
reading more|Keep a book near your bed.|Read ten pages every day.|Stop reading books that bore you.
"""

TALK = """
Hello!|Hello! How can I help you today?
Hello|Hello! How can I help you today?
Hi|Hi! What would you like to talk about?
Hi there!|Hi! What would you like to talk about?
Good morning!|Good morning! What can I do for you?
How are you?|I am a small program, so I have no feelings, but I am ready to help you.
Thank you!|You are welcome!
Thanks for your help.|You are welcome! Ask me again at any time.
Goodbye!|Goodbye! I hope to hear from you again.
Who are you?|I am a small demo model. I can explain ideas, compare things, make plans, and write short stories and poems.
What are you?|I am a small demo model with eight experts. I was trained on simple English text.
What can you do?|I can explain ideas, compare things, do small sums, make plans, and write short stories and poems.
What is your name?|I am called the demo model.
Are you a human?|No, I am a small language model.
Can you help me?|Yes, gladly. Tell me what you need.
Tell me a joke.|Why did the computer go to the doctor? It had a virus.
Say hello.|Hello!
Can you speak German?|No, I only know simple English.
What is the weather today?|I cannot see the weather, because I only know what I was trained on.
What time is it?|I cannot see a clock, because I only know what I was trained on.
"""


# Copying. A model this small learns to carry a subject from the request into
# its answer from repeating words that follow no pattern.

SUBJECTS = [t["name"] for t in TOPICS] + [w.split(":")[0] for w in banks.HEROES.split()] + banks.FUTURES + ["robot", "a robot", "technology startup", "text"]
SUBJECTS += [line.split("|")[0] for line in banks.BUSINESSES.strip().splitlines()] + [p for line in banks.GROUPS.strip().splitlines() for p in line.split("|")[1].split("; ")]
SUBJECTS += "economic social ethical environmental technical legal cultural political personal".split()
WORDS = sorted({w for text in (banks.GROUPS, banks.PLANS, banks.BUSINESSES, *banks.ADVENTURES, *banks.MIDDLE, *(t["definition"] + " " + t["how"] for t in TOPICS))
                for w in re.findall(r"[A-Za-z]{2,}", text)} | set(banks.NAMES))


def repeat(r):
    if r.random() < 0.6:
        words = r.sample(SUBJECTS, r.choice([1, 1, 2, 3, 4]))
        said = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
    else:
        said = " ".join(r.sample(WORDS, r.randrange(2, 10)))
    q, a = r.choice([("Repeat: {s}", "{s}"), ("Repeat after me: {s}.", "{s}."), ("Say {s}.", "{s}."), ("Write this down: {s}.", "{s}."),
                     ("Write {s} twice.", "{s}, {s}."), ("Repeat the words {s}.", "The words are {s}."), ("I like {s}. What do I like?", "You like {s}."),
                     ("My favourite words are {s}. Which are they?", "Your favourite words are {s}.")])
    return ("repeat", said), q.format(s=said), a.format(s=said)


def rows(block):
    return [line.replace("\\n", "\n").split("|") for line in block.strip().splitlines()]


def fact(r):
    kind = r.random()
    if kind < 0.35:
        c = r.choice(list(CAPITALS))
        return ("capital", c), r.choice([f"What is the capital of {c}?", f"Name the capital of {c}.", f"Which city is the capital of {c}?"]), f"The capital of {c} is {CAPITALS[c]}."
    if kind < 0.55:
        a, b = r.choice(list(OPPOSITES.items()))
        a, b = r.choice([(a, b), (b, a)])
        return ("opposite", a), r.choice([f"What is the opposite of {a}?", f"Give the opposite of {a}."]), f"The opposite of {a} is {b}."
    q, a = r.choice(rows(FACTS))
    return ("fact", q), q, a


def tips(r):
    topic, *three = r.choice(rows(TIPS))
    q = r.choice(["Give me three tips for {t}.", "What helps with {t}?", "List three tips for {t}.", "Do you have advice for {t}?"]).format(t=topic)
    return ("tips", topic), q, f"Here are three tips for {topic}.\n" + "\n".join(f"{i}. {upper(s)}" for i, s in enumerate(three, 1))


def talk(r):
    q, a = r.choice(rows(TALK))
    return ("talk", q), q, a
