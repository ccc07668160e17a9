module github.com/hxp-enterprise/mixtral/tools/vulndb

go 1.26.0

// Data alone, no package of it is imported: go.sum holds the copy to its bytes. `make vuln-update` takes the newest.
require golang.org/x/vulndb v0.0.0-20261105234957-e22db6528018
