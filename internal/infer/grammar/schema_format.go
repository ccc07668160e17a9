package grammar

// formats are the regular expressions of the formats of strings, for the content as a whole. An empty one has no rule
// for the text: it tells people or programs what to do with it.
var formats = map[string]string{
	"date":      date,
	"time":      clock,
	"date-time": date + "T" + clock,
	"duration":  `P(` + days + `(` + hours + `)?|` + hours + `|[0-9]{1,4}W)`,
	"email":     `[A-Za-z0-9_%+-]{1,20}(\.[A-Za-z0-9_%+-]{1,20}){0,2}@` + host,
	"idn-email": `[A-Za-z0-9_%+-]{1,20}(\.[A-Za-z0-9_%+-]{1,20}){0,2}@` + host,
	"hostname":  label + `(\.` + label + `){0,3}`, "idn-hostname": label + `(\.` + label + `){0,3}`,
	"ipv4": ipv4, "ip": ipv4,
	"ipv6":     ipv6,
	"uuid":     `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`,
	"uri":      uri,
	"url":      uri,
	"iri":      uri,
	"http-url": uri, "uri-reference": uri, "iri-reference": uri,
	"json-pointer": `(/([a-zA-Z0-9_.-]|~[01])*)*`,
	"byte":         `([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?`,

	"password": "", "binary": "", "char": "", "text": "", "markdown": "", "html": "", "int32": "", "int64": "",
	"float": "", "double": "", "decimal": "",
}

const (
	// days of each month, and 29 February where a year is a leap year
	date = `([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|` +
		`02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|` +
		`([02468][048]|[13579][26])00)-02-29)`
	clock = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`
	// RFC 3339, appendix A: units from the largest to the smallest, none left out in between
	days   = `([0-9]{1,4}D|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?)`
	hours  = `T([0-9]{1,4}S|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?)`
	label  = `[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?`
	host   = `[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?(\.[A-Za-z]{2,20}){1,2}`
	octet  = `(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`
	ipv4   = octet + `(\.` + octet + `){3}`
	hextet = `[0-9a-fA-F]{1,4}`
	ipv6   = `(` + hextet + `(:` + hextet + `){7}|::(` + hextet + `(:` + hextet + `){0,6})?|` +
		hextet + `::(` + hextet + `(:` + hextet + `){0,5})?|` +
		hextet + `:` + hextet + `::(` + hextet + `(:` + hextet + `){0,4})?|` +
		hextet + `(:` + hextet + `){2}::(` + hextet + `(:` + hextet + `){0,3})?|` +
		hextet + `(:` + hextet + `){3}::(` + hextet + `(:` + hextet + `){0,2})?|` +
		hextet + `(:` + hextet + `){4}::(` + hextet + `(:` + hextet + `)?)?|` +
		hextet + `(:` + hextet + `){5}::(` + hextet + `)?|` +
		hextet + `(:` + hextet + `){6}::)`
	uri = `(https?|ftp)://` + label + `(\.` + label + `){0,3}(:[1-9][0-9]{0,3})?` +
		`(/([A-Za-z0-9_.~-]|%[0-9A-F]{2}){0,40}){0,8}(\?[A-Za-z0-9_.~=&-]{0,80})?(#[A-Za-z0-9_.~-]{0,40})?`
)
