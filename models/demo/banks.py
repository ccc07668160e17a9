"""What the demo model can evaluate, plan, tell and rhyme: hand-written banks.

Every line is data; the sentences around it are in forms.py.
"""

# Evaluations. group | purposes, separated by ; | member: strength: limit | …
# A member is plural; strength and limit follow "they". "*" marks a member that is
# the best choice today; where there is none, the choice depends.
GROUPS = """
neural network architectures|image recognition tasks; speech recognition tasks; weather forecasting tasks; medical diagnosis tasks; robot control tasks; music generation tasks; price prediction tasks|recurrent networks: read a sequence step by step and remember what came before: train slowly and forget distant details|convolutional networks: find local patterns quickly: miss relations between distant parts|*transformers: use attention to relate all parts of the input and give the best results: need much data and computing power
deep learning models|video analysis tasks; sound recognition tasks; translation of signs; traffic prediction tasks|recurrent networks: keep a memory of what came before: lose distant details|convolutional networks: are fast and good at local patterns: see only a small window|*transformers: connect every part of the input and learn in parallel: cost a lot when the input is long
machine learning methods|natural language processing tasks; fraud detection tasks; image recognition tasks; customer analysis tasks; quality control tasks|decision trees: are easy to read and quick to train: memorize noise when they grow deep|neural networks: learn complicated patterns from raw data: need many examples and are hard to explain|linear models: work well with little data: cannot follow curved relations
training methods|natural language processing tasks; speech recognition tasks; image recognition tasks; robot control tasks|supervised methods: give accurate models: need many labels|self-supervised methods: learn from huge amounts of plain data: need much computing power|reinforcement methods: learn long plans from rewards: need very many attempts
data sources|natural language processing tasks; market research tasks; weather forecasting tasks; health research|public websites: offer a huge amount of fresh data: contain errors and bias|expert collections: are clean and reliable: are small and costly|user messages: show how people really speak: contain private details
software tools|natural language processing tasks; data analysis tasks; office work; project planning|open source tools: are free and can be changed: come with little support|commercial tools: come with support and training: are expensive|online tools: work at once in any browser: need a good connection
evaluation methods|natural language processing tasks; machine translation tasks; school projects; software projects|automatic tests: are quick, cheap, and repeatable: miss fine shades of quality|expert reviews: find deep problems: take time and money|user surveys: show what people really think: depend on who answers
teaching methods|language learning; mathematics lessons; music lessons; science classes; adult education|lectures: reach many students at once: leave students passive|group projects: train teamwork and speech: can be unfair to hard workers|private lessons: fit the pace of each student: cost a lot
study techniques|exam preparation; language learning; learning facts; reading tasks|flash cards: train the memory in short steps: teach only small pieces|summaries: show how ideas are connected: take time to write|practice tests: show what is still missing: can cause stress
energy sources|large cities; small villages; heavy industry; remote islands|wind turbines: give clean power at low cost: stand still on calm days|solar panels: fit on any roof: give nothing at night|gas plants: give power at any hour: harm the climate
transport systems|large cities; rural areas; mountain regions; holiday islands|buses: are cheap and flexible: get stuck in traffic|trams: carry many people in comfort: need costly tracks|bicycles: are healthy and clean: are hard to use in bad weather
marketing channels|small shops; new products; local events; online stores|posters: reach everyone who passes by: say only a few words|videos: tell a story and stay in the memory: cost time and money to make|newsletters: reach loyal customers directly: are often deleted unread
exercise programs|older people; office workers; young athletes; busy parents|walking groups: are gentle and social: build little strength|strength classes: build muscles and protect the bones: need good guidance|swimming courses: train the whole body without shocks: need a pool
leadership styles|small teams; large companies; crisis situations; creative projects|strict leaders: decide quickly: rarely hear new ideas|open leaders: gather good ideas from everyone: need more time|coaching leaders: help each member to grow: need patience and skill
building materials|family homes; tall towers; cold regions; low-cost housing|wooden frames: are light, warm, and renewable: need protection from fire and water|brick walls: last for many years: take long to build|steel frames: carry heavy loads: cost much energy to make
sorting algorithms|small lists; large files; nearly sorted data; limited memory|simple sorts: are short and easy to check: become slow on long lists|merge sorts: stay fast on any input: need extra memory|quick sorts: are very fast in most cases: can be slow on bad input
farming methods|dry regions; small farms; large fields; mountain villages|organic methods: protect soil and water: give smaller harvests|industrial methods: give large harvests: can harm the soil|greenhouse methods: save water and extend the season: need money and energy
communication tools|remote teams; large schools; family groups; urgent news|video calls: show faces and build trust: tire people out|short messages: are quick and simple: are easily misunderstood|long letters: explain a matter in full: are slow to write and read
saving methods|young families; students; small firms; retired people|bank accounts: are safe and simple: earn little interest|stock funds: grow well over many years: can fall in bad times|house purchases: give a home and a value: tie up much money
storage systems|photo collections; business records; hospital data; research data|hard disks: are cheap and large: can break without warning|cloud services: can be reached from anywhere: depend on a provider|paper archives: need no power: take much space and are hard to search
security measures|small offices; online banks; home networks; public buildings|strong passwords: stop simple attacks: are easily forgotten|regular updates: close known holes: can interrupt the work|staff trainings: prevent common mistakes: must be repeated
waste reduction methods|large cities; schools; restaurants; factories|recycling bins: save raw material: need careful sorting|refill shops: avoid packaging: need a change of habits|repair services: keep things in use: cost time and skill
"""

# Businesses. kind | what it offers | who buys | how it earns
BUSINESSES = """
bakery|fresh bread and warm cakes|families and office workers|sales in the shop and orders from cafes
bicycle repair shop|quick and honest repairs|students and commuters|repair fees and sales of spare parts
music school|lessons for piano, guitar, and voice|children and adults|monthly fees and summer courses
travel agency|quiet trips to small towns|couples and retired people|a share of each booking
flower shop|fresh flowers from local gardens|families and hotels|sales in the shop and weekly deliveries
language school|evening courses in small groups|workers and newcomers|course fees and company contracts
coffee shop|good coffee and a calm place to read|students and neighbours|sales of drinks and snacks
bookstore|new and used books with honest advice|readers of all ages|book sales and reading events
organic farm|vegetables and eggs from healthy soil|families and restaurants|weekly boxes and market sales
fitness studio|short and friendly training classes|busy office workers|monthly memberships
cleaning company|careful cleaning with mild soap|offices and schools|monthly contracts
toy store|wooden toys that last for years|parents and grandparents|sales in the shop and online
food truck|hot soup and fresh sandwiches|workers at lunch time|daily sales and private events
small hotel|ten quiet rooms and a rich breakfast|hikers and couples|room prices and dinner sales
furniture workshop|strong tables made by hand|young families and cafes|single sales and custom orders
pet care service|walks and care for dogs and cats|working people|hourly fees and weekly plans
photo studio|natural portraits and event photos|couples and firms|session fees and print sales
garden service|planning and care of gardens|house owners and schools|yearly contracts
robotics startup|small machines that sort parcels|warehouses and shops|sales of devices and service contracts
health startup|an app that reminds patients of their medicine|clinics and patients|a monthly subscription
energy startup|smart software that cuts heating costs|house owners and offices|a yearly subscription
education startup|a digital platform with short lessons|schools and families|a subscription for each student
food startup|an app that saves unsold meals|restaurants and students|a small share of each sale
finance startup|an app that helps people to save money|young workers|a monthly subscription
farming startup|a device that measures water in the soil|farmers and gardeners|device sales and a data subscription
travel startup|a platform that plans trips without flights|students and families|a share of each booking
music startup|a digital service for young bands|bands and small clubs|a monthly subscription
fashion startup|an online platform for used clothes|young people|a small fee on each sale
game startup|a digital game about building cities|players of all ages|game sales and small extras
sports startup|an app that plans training for teams|clubs and coaches|a yearly subscription
translation startup|software that translates letters|small firms and offices|a subscription by volume
security startup|software that guards small networks|shops and clinics|a monthly subscription
tourism startup|a digital guide that tells local stories|visitors and hotels|app sales and hotel contracts
recycling startup|a device that sorts waste|schools and offices|device rental and service
software company|programs that order bills and stock|small shops|licences and service contracts
consulting firm|clear advice on digital tools|small firms|daily rates and workshops
"""

# Step plans. title | for whom; … | first | next | then | finally
PLANS = """
study plan|a final exam; a mathematics test; a history course; a driving test|list all topics and mark the hard ones|study the hardest topic each morning for one hour|practise with old tests twice a week|repeat your notes and rest well on the last day
training plan|a beginner; a ten kilometre run; a busy office worker; an older person|walk or jog slowly three times a week|add a few minutes to each session|include two days of rest and one day of strength training|test your progress after eight weeks
travel plan|a weekend in a city; a family holiday; a trip to the mountains; a visit to the sea|choose the dates and set a budget|book the train and a quiet room|make a short list of places to see|pack a day early and leave time for rest
marketing plan|a small bakery; a new book; a technology startup; a local theatre; a language school|describe the customers you want to reach|choose two channels, such as posters and short videos|set a monthly budget and publish every week|measure the sales after three months and keep what works
hiring plan|a technology startup; a small hotel; a new school; a software company|write down the tasks and skills you need|publish the position on two websites|invite the five best people for a talk and a small task|choose together and plan the first month of the new colleague
cleaning plan|a small flat; a busy kitchen; an office; a garage|remove everything that you do not need|clean from the top to the bottom|give each thing a fixed place|repeat a short round every week
savings plan|a student; a young family; a holiday; a new bicycle|write down your income and your costs for one month|cut two costs that you do not need|move a fixed sum to a savings account on the first day of each month|check the result after a year and adjust the sum
project plan|a school play; a new website; a technology startup; a community garden; a science fair|agree on the goal and the date|divide the work into small tasks with one owner each|meet every week and solve problems early|review the result together and write down what you learned
meal plan|a busy week; a student; a family of four; an athlete|choose five simple dishes with vegetables|write one shopping list for the whole week|cook double portions on two evenings|use what is left for a soup on the last day
lesson plan|a class about birds; a class about maps; a first piano lesson; a class about computers|begin with a question that makes the students curious|explain the main idea with one example|let the students try it in pairs|close with a short talk about what they learned
moving plan|a young couple; an office; a family with pets|choose the day and order a van|pack room by room and label each box|tell the bank, the post, and the school your new address|unpack the kitchen first and meet the neighbours
"""

# Stories. hero | class (person, animal, thing, machine)
HEROES = """
girl:person boy:person sailor:person baker:person teacher:person gardener:person painter:person shepherd:person king:person queen:person
fisherman:person doctor:person musician:person tailor:person librarian:person farmer:person pilot:person knight:person witch:person scientist:person
fox:animal cat:animal dog:animal mouse:animal bear:animal owl:animal rabbit:animal horse:animal crow:animal turtle:animal hedgehog:animal
dragon:animal whale:animal wolf:animal lion:animal elephant:animal bee:animal squirrel:animal penguin:animal frog:animal duck:animal
lighthouse:thing clock:thing kite:thing lamp:thing teapot:thing boat:thing snowman:thing tree:thing star:thing cloud:thing scarecrow:thing bell:thing
drone:machine tractor:machine computer:machine satellite:machine train:machine spaceship:machine camera:machine elevator:machine calculator:machine
submarine:machine printer:machine radio:machine crane:machine typewriter:machine rover:machine helicopter:machine telescope:machine
nurse:person postman:person carpenter:person cook:person dancer:person hunter:person judge:person miller:person monk:person prince:person princess:person
singer:person smith:person student:person thief:person traveller:person weaver:person wizard:person clown:person captain:person engineer:person giant:person
goat:animal goose:animal hen:animal lizard:animal monkey:animal otter:animal parrot:animal pig:animal pony:animal seal:animal sheep:animal snail:animal
spider:animal swan:animal tiger:animal deer:animal donkey:animal camel:animal beaver:animal ant:animal butterfly:animal dolphin:animal eagle:animal
apple:thing balloon:thing basket:thing bench:thing book:thing bottle:thing bridge:thing broom:thing button:thing candle:thing chair:thing coin:thing
cup:thing door:thing drum:thing feather:thing flower:thing hat:thing kettle:thing key:thing ladder:thing letter:thing mirror:thing needle:thing
pencil:thing pillow:thing puppet:thing ring:thing river:thing shoe:thing spoon:thing stone:thing umbrella:thing violin:thing wheel:thing window:thing
airplane:machine bicycle:machine bulldozer:machine bus:machine engine:machine fridge:machine lift:machine mill:machine motor:machine oven:machine
phone:machine rocket:machine scanner:machine ship:machine taxi:machine toaster:machine tram:machine truck:machine turbine:machine vehicle:machine
"""

NAMES = "Pip Mila Otto Nora Timo Luna Fips Rosa Bruno Ada Emil Juno Karl Lotta Max Olga Paul Ruby Sam Tess Vera Willi Zora Finn".split()

PLACES = """an old factory|a quiet harbour|a small town by the sea|a green valley|a busy city|a village in the mountains|a dusty workshop|a garden behind a school
a house at the edge of the forest|a tall tower|an empty railway station|a little shop on the corner|a farm near the river|a museum full of old things""".replace("\n", "|").split("|")

# problem | deed | reward. {n} is the hero's name; the problem brings in a helper or a victim with "a".
ADVENTURES = """
a lost bird flew in and could not find its way out|{n} climbed up to the highest window, opened it, and showed the bird the sky|the bird came back every evening and sang a song
a storm broke the bridge, and a child stood on the wrong side of the river|{n} found a long rope, tied it to a tree, and brought the child safely home|the child visited every day and told new stories
all the lights in the street went out, and a postman lost his way in the dark|{n} lit a small lantern and walked with him from door to door|the postman brought a letter full of thanks every week
a young cat climbed onto a roof and was too afraid to come down|{n} built a little stair out of boxes and waited with great patience|the cat followed everywhere and slept close by at night
the well ran dry, and a farmer worried about his plants|{n} searched the hills for two days and found a hidden spring|the whole village planted a tree in thanks
a little girl lost the key to her music box|{n} looked under every stone and found the key in the grass|the music box played whenever they met
heavy snow covered the road, and a doctor could not reach the village|{n} cleared a narrow path and carried the bag of the doctor|the people knocked at the door every winter to say thank you
a stranger arrived who was sad because nobody knew his language|{n} drew pictures in the sand until they both began to laugh|the two friends drew a new picture every morning
an old man forgot the way to his own house|{n} took his hand and asked at every door until they found the right one|the old man saved a seat at his table
a small fish was caught in a net near the shore|{n} cut the net with care and set the fish free|a silver fish jumped out of the water whenever {n} came by
the clock of the town stopped, and a baker overslept|{n} cleaned each tiny wheel and set the clock right again|there was fresh bread at the door every morning
a balloon carried a basket of letters far into the trees|{n} gathered the letters one by one and brought them to their owners|everyone in the town knew the name of {n}
""".strip().splitlines()

FEELINGS = ["was often alone and dreamed of having a friend", "loved to look at the stars at night", "worked hard every day and rarely spoke",
            "was small but very curious", "wanted to see more of the world", "believed that nobody needed help from someone so small"]

ENDINGS = ["From that day on, {r}, and {n} was never lonely again.", "From then on, {r}, and {n} was happy.",
           "In the end, {r}, and {n} learned that even small deeds matter.", "From that day on, {r}, and {n} knew what friendship means."]

# Poems. Couplets with {x} for the subject; the rhyme never falls on it.
OPEN = """
I think of {x} late at night, / and see a small and steady light.
Come sit with me and hear my song / of {x}, quiet, deep, and strong.
The morning comes, the sky is clear, / and {x} feels so very near.
Let me tell you, soft and low, / what {x} has made me know.
A gentle wind goes through the land / and brings me {x} by the hand.
In quiet hours my thoughts take flight / to {x} in the pale moonlight.
""".strip().splitlines()

MIDDLE = """
The river sings, the branches sway, / and bring a wonder to the day.
A thousand voices, small and bright, / are calling softly through the night.
We learn from every step we take, / from every joy and each mistake.
The heart is full, the mind is free, / as wide and open as the sea.
No wall can hold, no storm can break / the hope that keeps our hearts awake.
It teaches us to pause and see / how simple happiness can be.
The old ones smile, the children play, / and time goes gently on its way.
And when the road is dark and long, / it gives us courage, makes us strong.
It asks for nothing, gives us all, / in summer sun and leaves of fall.
""".strip().splitlines()

FUTURE = """
Tomorrow's dawn will rise and show / the things that we do not yet know.
The future waits beyond the hill, / and we shall climb, and learn, and will.
The years to come are bright and wide, / with hope and reason side by side.
What we shall build, what we shall be, / is still an open mystery.
Tomorrow we will walk with care / through doors of light and morning air.
Our children will be proud to stand / in a kinder, wiser land.
The future hums a silver tune / beneath the stars, beneath the moon.
""".strip().splitlines()

OPEN_FUTURE = """
I dream of days that are to be, / of {x}, and of you and me.
The future of {x} is near, / a song that only dreamers hear.
Beyond the hills, beyond the night, / the future of {x} burns bright.
What will tomorrow bring our way? / What will the voice of {x} say?
I see the dawn of {x} rise / in golden colours through the skies.
""".strip().splitlines()

MACHINE = """
The circuits hum, the numbers flow, / and patterns teach the code to grow.
A mind of silicon and light / is reading softly through the night.
In lines of code a thought awakes / and learns from all the steps it takes.
The quiet machine begins to see / a world of wide complexity.
It counts the stars, it reads the rain, / and what it learns it will explain.
""".strip().splitlines()

CLOSE = """
So let us go with open eyes, / and {x} will make us wise.
And when the day has come to end, / we call {x} a faithful friend.
So here I end my little rhyme, / with {x} outside of time.
And so I keep, until the end, / the thought of {x} as a friend.
Let {x} teach us, hand in hand, / to care for people and for land.
""".strip().splitlines()

POEM_SUBJECTS = """the sea|the rain|the moon|the stars|winter|spring|summer|autumn|a river|a forest|the wind|a mountain|home|friendship|hope|silence|time|
music|morning|the night|snow|a garden|a bird|a train|my grandmother|childhood|a lighthouse|the city|bread|a rose|an old book|love|courage|a robot|
a journey|dreams|peace|the desert|a candle|rainbows|a friend|a teacher|a computer|a bridge|a letter|the ocean|the clouds|my village|my sister|freedom|
patience|memory|a violin|an apple tree|the sun|the harbour|a small boat|the old clock|kindness|trust|wisdom|science|the internet|a telephone|my cat|
an owl|a wolf|bees|the fields|harvest|bread and salt|the market|a lullaby|a child""".replace("\n", "").split("|")

# Subjects that can be analyzed along dimensions without facts of their own; "+" marks a plural.
SUBJECTS = """+robots|+satellites|solar power|wind power|+electric trains|+e-books|digital money|online banking|+online games|mobile internet|free public transport|
+night trains|+food delivery services|home schooling|lifelong learning|basic income|+minimum wages|part-time work|night work|child care|health insurance|+school meals|
+city parks|+bicycle lanes|+car-free streets|air travel|fast fashion|plastic packaging|meat consumption|fair trade|global trade|migration|ageing|urban growth|
rural decline|+music festivals|professional sport|+museums|local news|fake news|streaming music|digital art|face recognition|voice control|+digital assistants|
+self-service shops|+sensor networks|big data|data protection|artificial light|human intelligence|collective intelligence|+artificial organs|+artificial languages|
emotional intelligence|animal intelligence|+intelligent machines|+learning machines|business intelligence|artificial snow|artificial rain"""

FUTURES = """cities|schools|medicine|farming|energy|travel|music|work|language|books|oceans|forests|science|art|money|sport|food|education|
transport|housing|reading|friendship|democracy|robots|computers|villages|hospitals|trains|gardens|newspapers|libraries|families|fashion|film|
law|trade|water|weather|theatre|learning|teaching|writing|shopping|cooking|bees|the planet|our town|my school|human memory|human thought""".replace("\n", "").split("|")
