package kernel

//go:noescape
func gemvQ8DotProd(a *gemvNEON)

//go:noescape
func gemvQ8NEON(a *gemvNEON)

//go:noescape
func unpackQ8NEON(a *unpackNEON)

//go:noescape
func unpackQ8I8MM(a *unpackNEON)

//go:noescape
func gemvQ4DotProd(a *gemvNEON)

//go:noescape
func gemvQ4NEON(a *gemvNEON)

//go:noescape
func unpackQ4NEON(a *unpackNEON)

//go:noescape
func unpackQ4I8MM(a *unpackNEON)

//go:noescape
func gemvQ5DotProd(a *gemvNEON)

//go:noescape
func gemvQ5NEON(a *gemvNEON)

//go:noescape
func unpackQ5NEON(a *unpackNEON)

//go:noescape
func unpackQ5I8MM(a *unpackNEON)

//go:noescape
func gemvQ2KDotProd(a *gemvNEON)

//go:noescape
func gemvQ2KNEON(a *gemvNEON)

//go:noescape
func unpackQ2KNEON(a *unpackNEON)

//go:noescape
func unpackQ2KI8MM(a *unpackNEON)

//go:noescape
func gemvQ3KDotProd(a *gemvNEON)

//go:noescape
func gemvQ3KNEON(a *gemvNEON)

//go:noescape
func unpackQ3KNEON(a *unpackNEON)

//go:noescape
func unpackQ3KI8MM(a *unpackNEON)

//go:noescape
func gemvQ4KDotProd(a *gemvNEON)

//go:noescape
func gemvQ4KNEON(a *gemvNEON)

//go:noescape
func unpackQ4KNEON(a *unpackNEON)

//go:noescape
func unpackQ4KI8MM(a *unpackNEON)

//go:noescape
func gemvQ5KDotProd(a *gemvNEON)

//go:noescape
func gemvQ5KNEON(a *gemvNEON)

//go:noescape
func unpackQ5KNEON(a *unpackNEON)

//go:noescape
func unpackQ5KI8MM(a *unpackNEON)

//go:noescape
func gemvQ6KDotProd(a *gemvNEON)

//go:noescape
func gemvQ6KNEON(a *gemvNEON)

//go:noescape
func unpackQ6KNEON(a *unpackNEON)

//go:noescape
func unpackQ6KI8MM(a *unpackNEON)

//go:noescape
func tile32NEON(a *tileNEON)

//go:noescape
func tile32DotProd(a *tileNEON)

//go:noescape
func tile32I8MM(a *tileNEON)

//go:noescape
func tile16NEON(a *tileNEON)

//go:noescape
func tile16DotProd(a *tileNEON)

//go:noescape
func tile16I8MM(a *tileNEON)

//go:noescape
func tile16MinNEON(a *tileNEON)

//go:noescape
func tile16MinDotProd(a *tileNEON)

//go:noescape
func tile16MinI8MM(a *tileNEON)

//go:noescape
func tile32MinNEON(a *tileNEON)

//go:noescape
func tile32MinDotProd(a *tileNEON)

//go:noescape
func tile32MinI8MM(a *tileNEON)

//go:noescape
func gemvF32NEON(a *tileNEON)

//go:noescape
func tileF32NEON(a *tileNEON)

//go:noescape
func gemvF16NEON(a *tileNEON)

//go:noescape
func tileF16NEON(a *tileNEON)

//go:noescape
func gemvBF16NEON(a *tileNEON)

//go:noescape
func tileBF16NEON(a *tileNEON)
