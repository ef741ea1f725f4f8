module github.com/poplin-mail/poplin/e2e

go 1.26.8

require github.com/poplin-mail/poplin v0.0.0-00010101000000-000000000000

require github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect

replace github.com/poplin-mail/poplin => ..
