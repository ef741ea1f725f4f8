package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// cephConf keeps all of Ceph in one folder and on the loopback. Nobody proves
// who he is but to the gateways; ms_mon_client_mode is there for gateways,
// which by default would do it. Pools are small; a copy is on each OSD, though
// all are on one machine. An OSD that died is found out within seconds, where a
// usual cluster takes up to twenty, and one that comes back catches up without
// pauses. Bucket indexes have one shard, and gateways do not wait for small
// packets to fill up: both make what Poplin does often several times as fast.
const cephConf = `[global]
fsid = %[2]s
mon_initial_members = a
mon_host = [v2:%[3]s/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = %[1]s/run
admin_socket = %[1]s/run/$name.asok
log_file = %[1]s/log/$name.log
mon_cluster_log_file = %[1]s/log/cluster.log
crash_dir = %[1]s/crash
mon_data = %[1]s/mon
mgr_data = %[1]s/mgr
osd_data = %[1]s/osd.$id
mon_data_avail_crit = 1
mon_allow_pool_delete = true
mon_osd_reporter_subtree_level = osd
osd_heartbeat_interval = 2
osd_heartbeat_grace = 6
mgr_stats_period = 1
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_objectstore = bluestore
osd_memory_target = 939524096
osd_class_update_on_start = false
osd_recovery_sleep_hdd = 0
osd_recovery_sleep_hybrid = 0
bluestore_block_size = 8589934592
rgw_override_bucket_index_max_shards = 1
rgw_dynamic_resharding = false
rgw_thread_pool_size = 64
rgw_usage_max_user_shards = 1
[client.rgw.a]
rgw_frontends = beast endpoint=%[4]s tcp_nodelay=1
[client.rgw.b]
rgw_frontends = beast endpoint=%[5]s tcp_nodelay=1
`

// Who asks the store.
const (
	accessKey = "poplin"
	secretKey = "a secret that is known to everybody"
)

const osds = 3

// ceph is a Ceph of one monitor, one manager, three OSDs and two gateways.
type ceph struct {
	dir, conf string
	gateways  []string // addresses
	monitor   *process
	manager   *process
	osd       [osds]*process
	gateway   []*process
}

// startCeph makes a new cluster below dir, and starts it.
func startCeph(ctx context.Context, dir string, say func(string)) (_ *ceph, err error) {
	c := &ceph{dir: dir, conf: filepath.Join(dir, "ceph.conf")}
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	mon := addrs[0]
	c.gateways = addrs[1:]
	c.gateway = make([]*process, len(c.gateways))
	defer func() {
		if err != nil {
			c.kill()
		}
	}()
	for _, sub := range []string{"run", "crash", "mon", "mgr", "osd.0", "osd.1", "osd.2"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	fsid := newUUID()
	if err := os.WriteFile(c.conf, fmt.Appendf(nil, cephConf, dir, fsid, mon, c.gateways[0], c.gateways[1]), 0o600); err != nil {
		return nil, err
	}
	say("a monitor, a manager and OSDs")
	if err := c.foundation(ctx, fsid, mon); err != nil {
		return nil, err
	}
	say("a user, with the pools of the gateways")
	if _, err := run(ctx, "radosgw-admin", "-c", c.conf, "user", "create", "--uid=poplin", "--display-name=Poplin",
		"--access-key="+accessKey, "--secret="+secretKey); err != nil {
		return nil, err
	}
	say("gateways")
	for i := range c.gateways {
		if err := c.startGateway(ctx, i); err != nil {
			return nil, err
		}
	}
	return c, c.healthy(ctx)
}

// foundation starts the monitor, the manager and the OSDs for the first time.
func (c *ceph) foundation(ctx context.Context, fsid, mon string) (err error) {
	monmap := filepath.Join(c.dir, "monmap")
	if _, err := run(ctx, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", "[v2:"+mon+"]", monmap); err != nil {
		return err
	}
	if _, err := run(ctx, "ceph-mon", "--mkfs", "-i", "a", "-c", c.conf, "--monmap", monmap); err != nil {
		return err
	}
	if c.monitor, err = start(c.dir, "mon.a", "ceph-mon", "-f", "-i", "a", "-c", c.conf); err != nil {
		return err
	}
	if c.manager, err = start(c.dir, "mgr.x", "ceph-mgr", "-f", "-i", "x", "-c", c.conf); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, osds)
	for i := range osds {
		uuid := newUUID()
		// One after the other: they are numbered in the order of asking.
		if _, err := run(ctx, "ceph", "-c", c.conf, "osd", "new", uuid); err != nil {
			return err
		}
		all.Go(func() {
			if _, errs[i] = run(ctx, "ceph-osd", "--mkfs", "-i", fmt.Sprint(i), "-c", c.conf, "--osd-uuid", uuid); errs[i] == nil {
				errs[i] = c.startOSD(i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c *ceph) startOSD(i int) (err error) {
	c.osd[i], err = start(c.dir, fmt.Sprint("osd.", i), "ceph-osd", "-f", "-i", fmt.Sprint(i), "-c", c.conf)
	return err
}

// startGateway starts a gateway and waits until it answers.
func (c *ceph) startGateway(ctx context.Context, i int) error {
	name := "client.rgw." + string(rune('a'+i))
	p, err := start(c.dir, name, "radosgw", "-f", "-n", name, "-c", c.conf)
	if err != nil {
		return err
	}
	c.gateway[i] = p
	return p.await(ctx, name+" does not answer", func(ctx context.Context) bool { return answers(ctx, "http://"+c.gateways[i]) })
}

// answers tells whether the reply to a GET is 200, and comes soon.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// healthy waits until all OSDs are up, and all of the data is on all of them.
func (c *ceph) healthy(ctx context.Context) error {
	last := "no state"
	err := wait(ctx, "Ceph does not come to rest", func(ctx context.Context) (bool, error) {
		for i, p := range c.osd {
			if p.ended() {
				return false, p.trouble(fmt.Sprintf("(%d) has ended", i))
			}
		}
		out, err := run(ctx, "ceph", "-c", c.conf, "--connect-timeout", "10", "status", "--format", "json")
		if err != nil {
			return false, ctx.Err() // the monitor may be busy
		}
		state, err := parseStatus(out)
		if err != nil {
			return false, err
		}
		last = fmt.Sprintf("%+v", state)
		return state.Up == osds && state.PGs > 0 && state.Clean == state.PGs, nil
	})
	if err != nil {
		return fmt.Errorf("%w (%s)", err, last)
	}
	return nil
}

// status is how a cluster is.
type status struct {
	Up         int // OSDs
	PGs, Clean int // placement groups
}

// parseStatus reads `ceph status`.
func parseStatus(text []byte) (s status, err error) {
	var all struct {
		OSDMap struct {
			Up int `json:"num_up_osds"`
		} `json:"osdmap"`
		PGMap struct {
			PGs    int `json:"num_pgs"`
			States []struct {
				Name  string `json:"state_name"`
				Count int    `json:"count"`
			} `json:"pgs_by_state"`
		} `json:"pgmap"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return s, fmt.Errorf("ceph status: %w", err)
	}
	s.Up, s.PGs = all.OSDMap.Up, all.PGMap.PGs
	for _, state := range all.PGMap.States {
		switch state.Name {
		case "active+clean", "active+clean+scrubbing", "active+clean+scrubbing+deep":
			s.Clean += state.Count
		}
	}
	return s, nil
}

// kill ends all of it. Its data is of no use any more.
func (c *ceph) kill() {
	for _, p := range append([]*process{c.manager, c.monitor, c.osd[0], c.osd[1], c.osd[2]}, c.gateway...) {
		if p != nil {
			p.kill()
		}
	}
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
