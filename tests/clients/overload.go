// A gateway whose answers take 20 ms, and a client that sends requests at a rate, whatever became of those before.
// Arguments: gateway ADDRESS | load URL RATE SECONDS.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

func main() {
	if os.Args[1] == "gateway" {
		http.HandleFunc("/", func(writer http.ResponseWriter, _ *http.Request) {
			time.Sleep(20 * time.Millisecond)
			writer.Write([]byte("hi"))
		})
		http.ListenAndServe(os.Args[2], nil)
	}
	rate, _ := strconv.Atoi(os.Args[3])
	seconds, _ := strconv.Atoi(os.Args[4])
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}, Timeout: 10 * time.Second}
	var lock sync.Mutex
	var group sync.WaitGroup
	took := map[string][]time.Duration{}
	begun := time.Now()
	for number := 0; number < rate*seconds; number++ {
		due := begun.Add(time.Duration(number) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		group.Add(1)
		go func() {
			defer group.Done()
			start := time.Now()
			response, err := client.Get(os.Args[2])
			said := "failed"
			if err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				said = response.Status[:3]
				if response.Header.Get("Retry-After") != "" {
					said += " with Retry-After"
				}
			}
			lock.Lock()
			took[said] = append(took[said], time.Since(start))
			lock.Unlock()
		}()
	}
	group.Wait()
	for said, times := range took {
		sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
		at := func(part float64) time.Duration {
			return times[int(part*float64(len(times)-1))].Round(10 * time.Microsecond)
		}
		fmt.Printf("    %-22s %6.0f/s  p50 %v  p99 %v\n", said, float64(len(times))/float64(seconds), at(0.5), at(0.99))
	}
}
