package quality

import (
	"strings"
	"sync"
)

// familyLines has the words that belong to one subject on each line. They help if a prompt has no rubric and a good
// answer does not repeat the prompt's own words.
const familyLines = `
autumn fall leaf leaves harvest october november september frost golden gold orchard wind red
winter snow ice cold frost december january white fire dark
spring bloom blossom flower april may green bud rain bird
summer sun heat beach july august warm holiday
sea ocean wave tide shore sail ship boat salt water gull beach coast deep
night moon star dark midnight dream sleep silver black lamp
love heart kiss dear beloved hand tender
artificial intelligence ai machine learning algorithm neural network model robot computer data automation code circuit silicon mind digital
robot machine metal android circuit gear sensor battery
future tomorrow years ahead dawn horizon someday will generation century
computer software program code laptop processor memory data
internet web online browser site server network wifi
business company startup customer market revenue product profit firm
money finance budget cost price invest bank saving income
health doctor medicine disease patient hospital illness symptom treatment
food eat meal cook recipe dish taste kitchen vegetable bread
animal dog cat bird horse fish pet wild species
plant flower tree garden leaf seed root soil grow
school teacher student class lesson learn education pupil
book read novel author story page library chapter
music song melody instrument piano guitar sing rhythm band
art paint picture artist draw colour color museum
travel trip journey train plane flight hotel visit tourist
city town street building neighbourhood urban downtown
weather rain cloud storm wind sun temperature forecast
climate warming carbon emission temperature greenhouse energy
energy power electricity solar wind nuclear fuel battery
history war king revolution century empire ancient battle
space planet star moon rocket orbit astronaut galaxy
science experiment theory physics chemistry biology research
family mother father child parent sister brother grandmother home
work job office employee boss career colleague
sport game team player ball run train match
sleep bed night rest dream tired
friend friendship together trust kind
ocean sea wave whale fish deep water
happiness happy joy smile content gratitude
death grief loss die mourning memory
lighthouse keeper lamp beam tower sea ship storm
dragon fire wing scale cave knight flame
detective crime clue murder police case
law court legal judge contract rights
government state policy law election vote president minister
car drive engine road vehicle fuel
exercise run gym muscle training fitness workout heart
water river lake rain drink tap shower flow
mountain hill peak climb rock snow valley
forest tree wood leaf moss path deer`

var families = sync.OnceValue(func() []map[string]bool {
	var out []map[string]bool
	for line := range strings.Lines(familyLines) {
		f := map[string]bool{}
		for _, w := range strings.Fields(line) {
			f[stem(w)] = true
		}
		if len(f) > 0 {
			out = append(out, f)
		}
	}
	return out
})
