module github.com/hxp-enterprise/mixtral/test

go 1.26.0

require github.com/hxp-enterprise/mixtral v0.0.0

require golang.org/x/sys v0.49.0 // indirect

replace github.com/hxp-enterprise/mixtral => ../
