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
	"uuid":     uuid,
	"uri":      uri,
	"url":      uri,
	"iri":      uri,
	"http-url": uri, "uri-reference": uri, "iri-reference": uri,
	"json-pointer": `(/([a-zA-Z0-9_.-]|~[01])*)*`,
	"byte":         base64,

	// of Zod, Pydantic and others
	"base64": base64, "base64url": `([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2,3})?`, "hex": `([0-9a-f]{2})*`,
	"guid": uuid, "uuid1": uuidOf("1"), "uuid3": uuidOf("3"), "uuid4": uuidOf("4"), "uuid5": uuidOf("5"),
	"uuid6": uuidOf("6"), "uuid7": uuidOf("7"), "uuid8": uuidOf("8"),
	"cuid": `c[0-9a-z]{24}`, "cuid2": `[a-z][0-9a-z]{23}`, "nanoid": `[A-Za-z0-9_-]{21}`,
	"ulid": `[0-7][0-9A-HJKMNP-TV-Z]{25}`, "xid": `[0-9a-v]{20}`, "ksuid": `[0-9A-Za-z]{27}`,
	"ipvanyaddress": ipv4, "ipvanyinterface": cidr, "ipvanynetwork": `0\.0\.0\.0/0|` + private,
	"ipv4interface": cidr, "ipv4network": `0\.0\.0\.0/0|` + private,
	"cidr": cidr, "cidrv4": cidr, "cidrv6": `(` + ipv6 + `)/(12[0-8]|1[01][0-9]|[1-9]?[0-9])`,
	"mac": `[0-9A-F]{2}(:[0-9A-F]{2}){5}`, "e164": `\+[1-9][0-9]{6,14}`, "color": `#[0-9a-fA-F]{6}`,
	"lowercase": `[^A-Z]*`, "uppercase": `[^a-z]*`,
	"iso-date-time": date + "T" + clock, "iso-time": clock, "uri-template": uri,
	"relative-json-pointer": `(0|[1-9][0-9]{0,3})(#|(/([a-zA-Z0-9_.-]|~[01])*)*)`,
	"regex":                 `\^?([A-Za-z0-9_ -]|\\[dDwWsS.]|\.)+\$?`,

	"path": "", "file-path": "", "directory-path": "", "textarea": "", "multiline": "", "richtext": "", "phone": "",
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
	base64 = `([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?`
	uuid   = `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`
	cidr   = ipv4 + `/(3[0-2]|[12]?[0-9])`
	// networks, which have no bit set behind their prefix
	private = `10\.0\.0\.0/8|192\.168\.` + octet + `\.0/24|172\.(1[6-9]|2[0-9]|3[01])\.0\.0/16`
	octet   = `(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`
	ipv4    = octet + `(\.` + octet + `){3}`
	hextet  = `[0-9a-fA-F]{1,4}`
	ipv6    = `(` + hextet + `(:` + hextet + `){7}|::(` + hextet + `(:` + hextet + `){0,6})?|` +
		hextet + `::(` + hextet + `(:` + hextet + `){0,5})?|` +
		hextet + `:` + hextet + `::(` + hextet + `(:` + hextet + `){0,4})?|` +
		hextet + `(:` + hextet + `){2}::(` + hextet + `(:` + hextet + `){0,3})?|` +
		hextet + `(:` + hextet + `){3}::(` + hextet + `(:` + hextet + `){0,2})?|` +
		hextet + `(:` + hextet + `){4}::(` + hextet + `(:` + hextet + `)?)?|` +
		hextet + `(:` + hextet + `){5}::(` + hextet + `)?|` +
		hextet + `(:` + hextet + `){6}::)`
	// uri has counts, so that a text ends some time; with a maxLength it does anyhow, and counts in counts are costly
	uri = `(https?|ftp)://` + label + `(\.` + label + `){0,3}(:[1-9][0-9]{0,3})?` +
		`(/([A-Za-z0-9_.~-]|%[0-9A-F]{2}){0,40}){0,6}(\?[A-Za-z0-9_.~=&-]{0,80})?(#[A-Za-z0-9_.~-]{0,40})?`
	openURI = `(https?|ftp)://` + openLabel + `(\.` + openLabel + `)*(:[1-9][0-9]{0,3})?` +
		`(/([A-Za-z0-9_.~-]|%[0-9A-F]{2})*)*(\?[A-Za-z0-9_.~=&-]*)?(#[A-Za-z0-9_.~-]*)?`
	openLabel = `[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?`
)

// uuidOf gives the texts of UUIDs of a version.
func uuidOf(version string) string {
	return `[0-9a-f]{8}-[0-9a-f]{4}-` + version + `[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
}
