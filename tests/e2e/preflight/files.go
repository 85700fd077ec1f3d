// Go's own file server, over the directory "files".
package main

import (
	"net/http"
	"os"
)

func main() {
	if err := http.ListenAndServe(os.Args[1], http.FileServer(http.Dir("files"))); err != nil {
		panic(err)
	}
}
