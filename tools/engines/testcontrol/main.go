// A tailnet on loopback, for tests: Tailscale's own control server for tests, a DERP relay with
// STUN, and an edge that brings visitors in as Funnel's does.
//
//	testcontrol -state DIRECTORY
//
// prints one line of JSON with the addresses of its parts and serves until its input ends. The key
// that nodes must show, if any, is in the variable TESTCONTROL_AUTH_KEY.
//
// Parts:
//
//	control  where nodes join (--login-server)
//	edge     an HTTP proxy: CONNECT node.tail-test.ts.net:443 comes to that node from the internet,
//	         as Funnel brings it: POST /v0/ingress at its peer API, raw bytes afterwards
//	faults   what tests do to the tailnet: POST /expire, /revive, /approve?url=, /require-auth?on=
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/dnstype"
	"tailscale.com/types/key"
)

const domain = "tail-test.ts.net"

func main() {
	state := flag.String("state", "", "directory for the edge's own node")
	verbose := flag.Bool("verbose", false, "say everything on stderr")
	flag.Parse()
	logf := func(string, ...any) {}
	if *verbose {
		logf = log.Printf
	}

	control := &testcontrol.Server{
		Logf:           logf,
		DERPMap:        serveDERP(logf),
		DNSConfig:      &tailcfg.DNSConfig{Proxied: true, Routes: map[string][]*dnstype.Resolver{domain: nil}},
		MagicDNSDomain: domain,
		AllOnline:      true,
		RequireAuthKey: os.Getenv("TESTCONTROL_AUTH_KEY"),
	}
	control.HTTPTestServer = httptest.NewUnstartedServer(control)
	control.HTTPTestServer.Start()

	edge := &edge{control: control, state: *state, logf: logf}
	proxy, faults := listen(), listen()
	go func() { must(http.Serve(proxy, edge)) }()
	go func() { must(http.Serve(faults, faultsOf(control))) }()

	must(json.NewEncoder(os.Stdout).Encode(map[string]string{
		"control": control.HTTPTestServer.URL,
		"edge":    proxy.Addr().String(),
		"faults":  "http://" + faults.Addr().String(),
		"domain":  domain,
	}))
	io.Copy(io.Discard, os.Stdin) // whoever started it holds the other end
}

// serveDERP starts a relay with STUN beside it, and returns the map that leads nodes there.
func serveDERP(logf func(string, ...any)) *tailcfg.DERPMap {
	server := derpserver.New(key.NewNode(), logf)
	relay := httptest.NewUnstartedServer(derpserver.Handler(server))
	relay.Config.ErrorLog = log.New(io.Discard, "", 0)
	// DERP takes the connection over, which HTTP/2 does not allow.
	relay.Config.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler))
	relay.StartTLS()
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: {
		RegionID:   1,
		RegionCode: "test",
		Nodes: []*tailcfg.DERPNode{{
			Name:             "t1",
			RegionID:         1,
			HostName:         "127.0.0.1",
			IPv4:             "127.0.0.1",
			IPv6:             "none",
			STUNPort:         serveSTUN(),
			DERPPort:         relay.Listener.Addr().(*net.TCPAddr).Port,
			InsecureForTests: true,
			STUNTestIP:       "127.0.0.1",
		}},
	}}}
}

// serveSTUN answers binding requests on a port of its own, which it returns.
func serveSTUN() int {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	go func() {
		packet := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			if id, err := stun.ParseBindingRequest(packet[:n]); err == nil {
				address := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
				conn.WriteToUDPAddrPort(stun.Response(id, address), from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// faultsOf lets a test do to the tailnet what its administrator, or time, does.
func faultsOf(control *testcontrol.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /expire", func(w http.ResponseWriter, r *http.Request) {
		control.SetExpireAllNodes(true)
	})
	mux.HandleFunc("POST /revive", func(w http.ResponseWriter, r *http.Request) {
		control.SetExpireAllNodes(false)
	})
	mux.HandleFunc("POST /approve", func(w http.ResponseWriter, r *http.Request) {
		if !control.CompleteAuth(r.URL.Query().Get("url")) {
			http.Error(w, "nobody waits there", http.StatusNotFound)
		}
	})
	mux.HandleFunc("POST /require-auth", func(w http.ResponseWriter, r *http.Request) {
		control.RequireAuth = r.URL.Query().Get("on") == "1"
	})
	return mux
}

// edge brings visitors from "the internet" to nodes with a funnel. It is a node itself, which joins
// when its first visitor comes.
type edge struct {
	control *testcontrol.Server
	state   string
	logf    func(string, ...any)

	once sync.Once
	node *tsnet.Server
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT is understood", http.StatusMethodNotAllowed)
		return
	}
	inner, early, err := e.dial(r.Context(), r.Host, r.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	outer, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		inner.Close()
		return
	}
	io.WriteString(outer, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(inner, buffered)
		closeWrite(inner)
	}()
	io.Copy(outer, early)
	closeWrite(outer)
	outer.Close()
	inner.Close()
}

// dial comes to host (a name and a port) as Funnel's ingress does.
func (e *edge) dial(ctx context.Context, host, source string) (net.Conn, io.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	e.join()
	local, err := e.node.LocalClient()
	if err != nil {
		return nil, nil, err
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return nil, nil, err
	}
	status, err := local.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	api, err := peerAPI(status, name)
	if err != nil {
		return nil, nil, err
	}
	conn, err := e.node.Dial(ctx, "tcp", api)
	if err != nil {
		return nil, nil, err
	}
	request, _ := http.NewRequest("POST", "http://"+api+"/v0/ingress", nil)
	request.Header.Set("Tailscale-Ingress-Src", source)
	request.Header.Set("Tailscale-Ingress-Target", host)
	if err := request.Write(conn); err != nil {
		conn.Close()
		return nil, nil, err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err == nil && !strings.Contains(line, " 101 ") {
		err = fmt.Errorf("the node said %q", strings.TrimSpace(line))
	}
	for err == nil && strings.TrimSpace(line) != "" {
		line, err = reader.ReadString('\n')
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, reader, nil
}

// peerAPI is the address at which the node called name takes ingress.
func peerAPI(status *ipnstate.Status, name string) (string, error) {
	for _, peer := range status.Peer {
		if strings.TrimSuffix(peer.DNSName, ".") != name {
			continue
		}
		for _, each := range peer.PeerAPIURL {
			if parsed, err := url.Parse(each); err == nil && parsed.Host != "" {
				return parsed.Host, nil
			}
		}
	}
	return "", fmt.Errorf("no node %q takes visitors", name)
}

func (e *edge) join() {
	e.once.Do(func() {
		e.node = &tsnet.Server{
			Dir:        filepath.Join(e.state, "edge"),
			Hostname:   "funnel-ingress",
			ControlURL: e.control.BaseURL(),
			AuthKey:    os.Getenv("TESTCONTROL_AUTH_KEY"),
			Ephemeral:  true,
			Logf:       e.logf,
			UserLogf:   e.logf,
		}
		_, err := e.node.Up(context.Background())
		must(err)
	})
}

func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	return listener
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
