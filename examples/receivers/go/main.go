// Receive webhooks of ImageBatch with Go's standard library alone:
//
// WEBHOOK_SECRET=whsec_... go run .
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxBodyBytes  = 64 * 1024
	tolerance     = 5 * time.Minute
	rememberedIDs = 10_000
)

// event is what a webhook says; outputCSV is nil when a batch has no output.
type event struct {
	id        string
	Status    string  `json:"status"`
	OutputCSV *string `json:"output_csv"`
}

type receiver struct {
	key  []byte
	work chan event
	seen seenIDs
}

func main() {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))
	if err != nil || len(key) == 0 {
		log.Fatal("WEBHOOK_SECRET must be whsec_ and base64")
	}
	address := net.JoinHostPort(cmp.Or(os.Getenv("HOST"), "127.0.0.1"), cmp.Or(os.Getenv("PORT"), "9000"))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	ours := &receiver{key: key, work: make(chan event, 1000)}
	go ours.doWork()
	fmt.Println("listening on", listener.Addr())
	server := &http.Server{Handler: ours, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

func (r *receiver) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	writer.WriteHeader(r.receive(writer, request))
}

// receive returns the status to answer with. Work is left to others: the sender waits 20 seconds, then it
// sends again.
func (r *receiver) receive(writer http.ResponseWriter, request *http.Request) int {
	if request.Method != http.MethodPost {
		return http.StatusMethodNotAllowed
	}
	if request.ContentLength > maxBodyBytes {
		writer.Header().Set("Connection", "close") // else the server reads the body before it answers
		return http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, maxBodyBytes))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return http.StatusRequestEntityTooLarge
	}
	if err != nil {
		return http.StatusBadRequest
	}
	id := request.Header.Get("webhook-id")
	timestamp := request.Header.Get("webhook-timestamp")
	if id == "" || !r.isOurs(id, timestamp, request.Header.Get("webhook-signature"), body) {
		return http.StatusUnauthorized
	}
	found := event{id: id}
	if err := json.Unmarshal(body, &found); err != nil {
		return http.StatusBadRequest
	}
	if r.seen.isNew(id) {
		r.work <- found
	}
	return http.StatusNoContent
}

// isOurs tells whether a message is signed with our secret, a few minutes ago at most. One of its signatures
// must fit.
func (r *receiver) isOurs(id, timestamp, signatures string, body []byte) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, r.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, each := range strings.Split(signatures, " ") {
		if hmac.Equal(expected, []byte(each)) {
			return true
		}
	}
	return false
}

// doWork is what a shop does with an event: here it is printed.
func (r *receiver) doWork() {
	for found := range r.work {
		output := "null"
		if found.OutputCSV != nil {
			output = *found.OutputCSV
		}
		fmt.Println(found.id, found.Status, output)
	}
}

// seenIDs remembers the newest ids. A shop keeps ids in its database, in one transaction with its work.
type seenIDs struct {
	mutex sync.Mutex
	known map[string]bool
	order []string
}

func (s *seenIDs) isNew(id string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.known == nil {
		s.known = map[string]bool{}
	}
	if s.known[id] {
		return false
	}
	s.known[id] = true
	s.order = append(s.order, id)
	if len(s.order) > rememberedIDs {
		delete(s.known, s.order[0])
		s.order = s.order[1:]
	}
	return true
}
