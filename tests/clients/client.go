// Go's net/http as a client of HTTP/2. Arguments: the URL, the authority's certificate, what to do, and for how many seconds (5).
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	base, authority, what := os.Args[1], os.Args[2], os.Args[3]
	pem, _ := os.ReadFile(authority)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		Timeout:   20 * time.Second,
	}
	counts := map[string]int{}
	var lock sync.Mutex
	count := func(response *http.Response, err error) {
		said := ""
		if err != nil {
			said = "failed: " + err.Error()
		} else {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			said = fmt.Sprintf("%d HTTP/%d", response.StatusCode, response.ProtoMajor)
		}
		lock.Lock()
		counts[said]++
		lock.Unlock()
	}
	many := func(again func(n int) bool) {
		var group sync.WaitGroup
		for worker := 0; worker < 20; worker++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for n := 0; again(n); n++ {
					count(client.Get(base + "/"))
				}
			}()
		}
		group.Wait()
	}
	switch what {
	case "get":
		many(func(n int) bool { return n < 20 })
	case "head":
		count(client.Head(base + "/"))
	case "upload", "large":
		count(client.Post(base+"/"+what, "application/octet-stream", bytes.NewReader(make([]byte, 3<<20))))
	case "unknown-length":
		reader, writer := io.Pipe()
		go func() {
			for n := 0; n < 48; n++ {
				writer.Write(make([]byte, 1<<16))
			}
			writer.Close()
		}()
		count(client.Post(base+"/large", "application/octet-stream", reader))
	case "while":
		seconds := 5
		if len(os.Args) > 4 {
			seconds, _ = strconv.Atoi(os.Args[4])
		}
		end := time.Now().Add(time.Duration(seconds) * time.Second)
		many(func(int) bool { return time.Now().Before(end) })
	}
	json.NewEncoder(os.Stdout).Encode(counts)
}
