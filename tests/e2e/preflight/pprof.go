// An application that imports its profiler: what "just for a moment" leaves behind.
package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
)

func main() {
	if err := http.ListenAndServe(os.Args[1], nil); err != nil {
		panic(err)
	}
}
