// A server of go-lumber's that prints what it receives: each event as it came, one a line, before its batch is
// acknowledged.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"os"
	"time"

	"github.com/elastic/go-lumber/server"
)

func main() {
	bind := flag.String("bind", "", "address to listen on")
	chain := flag.String("chain", "", "PEM file of the certificate: TLS is on")
	key := flag.String("key", "", "PEM file of its key")
	clients := flag.String("clients", "", "PEM file of the authority that clients need a certificate of")
	pause := flag.Duration("pause", 0, "wait so long before a batch is acknowledged")
	alive := flag.Duration("alive", 3*time.Second, "say so often that the batch is still worked on")
	flag.Parse()

	options := []server.Option{server.V2(true), server.Keepalive(*alive), server.JSONDecoder(asItIs)}
	if *chain != "" {
		options = append(options, server.TLS(settings(*chain, *key, *clients)))
	}
	listening, err := server.ListenAndServe(*bind, options...)
	if err != nil {
		log.Fatal(err)
	}
	for batch := range listening.ReceiveChan() {
		var lines bytes.Buffer
		for _, event := range batch.Events {
			lines.Write(event.([]byte))
			lines.WriteByte('\n')
		}
		if _, err := os.Stdout.Write(lines.Bytes()); err != nil {
			log.Fatal(err)
		}
		time.Sleep(*pause)
		batch.ACK()
	}
}

// asItIs refuses what is not JSON, and keeps the text.
func asItIs(text []byte, into interface{}) error {
	if !json.Valid(text) {
		return errors.New("not JSON")
	}
	*into.(*interface{}) = append([]byte(nil), text...)
	return nil
}

func settings(chain, key, clients string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		log.Fatal(err)
	}
	made := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients != "" {
		pem, err := os.ReadFile(clients)
		if err != nil {
			log.Fatal(err)
		}
		made.ClientCAs = x509.NewCertPool()
		made.ClientCAs.AppendCertsFromPEM(pem)
		made.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return made
}
