// franz-go (kgo, kadm). See tests/interop/README.md.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const timeout = 30 * time.Second

var errUnsupported = errors.New("unsupported")

type record struct {
	Topic     string       `json:"t"`
	Partition *int32       `json:"p,omitempty"`
	Offset    int64        `json:"o"`
	Timestamp *int64       `json:"ts"`
	Key       *string      `json:"k"`
	Value     *string      `json:"v"`
	Headers   [][2]*string `json:"h"`
}

type topicSpec struct {
	Name       string            `json:"name"`
	Partitions int32             `json:"partitions"`
	Replicas   int16             `json:"replicas"`
	Configs    map[string]string `json:"configs"`
	Assignment [][]int32         `json:"assignment"`
}

type request struct {
	Op               string            `json:"op"`
	Codec            string            `json:"codec"`
	Acks             string            `json:"acks"`
	Idempotent       bool              `json:"idempotent"`
	MaxRequest       int32             `json:"max_request"`
	LingerMs         *int64            `json:"linger_ms"`
	Records          []record          `json:"records"`
	RawTopics        json.RawMessage   `json:"topics"`
	Count            int               `json:"count"`
	TimeoutMs        int64             `json:"timeout_ms"`
	Isolation        string            `json:"isolation"`
	FetchWaitMs      int64             `json:"fetch_wait_ms"`
	FetchBytes       int32             `json:"fetch_bytes"`
	Topic            string            `json:"topic"`
	Partitions       []int32           `json:"partitions"`
	Partition        int32             `json:"partition"`
	At               any               `json:"at"`
	ID               string            `json:"id"`
	Group            string            `json:"group"`
	Assignor         string            `json:"assignor"`
	Instance         string            `json:"instance"`
	Protocol         string            `json:"protocol"`
	SessionTimeoutMs int64             `json:"session_timeout_ms"`
	Offsets          map[string]int64  `json:"offsets"`
	ValidateOnly     bool              `json:"validate_only"`
	Names            []string          `json:"names"`
	Name             string            `json:"name"`
	Kind             string            `json:"kind"`
	Configs          map[string]string `json:"configs"`
	Set              map[string]string `json:"set"`
	Append           map[string]string `json:"append"`
	Subtract         map[string]string `json:"subtract"`
	Delete           []string          `json:"delete"`
	Before           int64             `json:"before"`
}

func (r *request) topicNames() (names []string) {
	check(json.Unmarshal(r.RawTopics, &names))
	return names
}

// failure carries an error out of a handler; see serve.
type failure struct{ error }

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func encode(bytes []byte) *string {
	if bytes == nil {
		return nil
	}
	text := string(bytes)
	if len(bytes) > 1024 {
		sum := sha256.Sum256(bytes)
		text = fmt.Sprintf("sha256:%s:%d", hex.EncodeToString(sum[:]), len(bytes))
	} else if !utf8.Valid(bytes) {
		text = "hex:" + hex.EncodeToString(bytes)
	}
	return &text
}

func decode(text *string) []byte {
	if text == nil {
		return nil
	}
	if digits, found := strings.CutPrefix(*text, "hex:"); found {
		bytes, err := hex.DecodeString(digits)
		check(err)
		return bytes
	}
	return []byte(*text)
}

func fromRecord(r *kgo.Record) record {
	timestamp := r.Timestamp.UnixMilli()
	headers := make([][2]*string, 0, len(r.Headers))
	for _, header := range r.Headers {
		headers = append(headers, [2]*string{&header.Key, encode(header.Value)})
	}
	partition := r.Partition
	return record{r.Topic, &partition, r.Offset, &timestamp, encode(r.Key), encode(r.Value), headers}
}

func errorReply(err error) map[string]any {
	code := -1
	var kafkaError *kerr.Error
	if errors.As(err, &kafkaError) {
		code = int(kafkaError.Code)
	}
	return map[string]any{"error": code, "message": err.Error()}
}

func codeOf(err error) int {
	if err == nil {
		return 0
	}
	return errorReply(err)["error"].(int)
}

// partitioner puts records with a partition of their own there, and the others where Kafka's default puts them.
type partitioner struct{ kgo.TopicPartitioner }

type pinned struct{}

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return partitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

func (p partitioner) Partition(r *kgo.Record, count int) int {
	if partition, ok := r.Context.Value(pinned{}).(int32); ok {
		return int(partition)
	}
	return p.TopicPartitioner.Partition(r, count)
}

func (p partitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Context.Value(pinned{}) != nil || p.TopicPartitioner.RequiresConsistency(r)
}

type member struct {
	client   *kgo.Client
	cancel   context.CancelFunc
	done     chan struct{}
	mutex    sync.Mutex
	assigned map[string]bool
	records  []record
	received int
}

type driver struct {
	bootstrap string
	client    *kgo.Client
	admin     *kadm.Client
	members   map[string]*member
}

func (d *driver) newClient(opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(d.bootstrap), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	check(err)
	return client
}

func (d *driver) produce(ctx context.Context, r *request) any {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "": kgo.NoCompression(),
	}
	linger := 5 * time.Millisecond
	if r.LingerMs != nil {
		linger = time.Duration(*r.LingerMs) * time.Millisecond
	}
	opts := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[r.Codec]), kgo.RecordPartitioner(partitioner{}), kgo.ProducerLinger(linger),
	}
	if r.MaxRequest > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(r.MaxRequest))
	}
	switch r.Acks {
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if !r.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	client := d.newClient(opts...)
	defer client.Close()
	results := make([]any, len(r.Records))
	for i, item := range r.Records {
		out := &kgo.Record{Topic: item.Topic, Key: decode(item.Key), Value: decode(item.Value)}
		for _, header := range item.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: *header[0], Value: decode(header[1])})
		}
		if item.Timestamp != nil {
			out.Timestamp = time.UnixMilli(*item.Timestamp)
		}
		out.Context = ctx
		if item.Partition != nil {
			out.Context = context.WithValue(ctx, pinned{}, *item.Partition)
		}
		client.Produce(out.Context, out, func(sent *kgo.Record, err error) {
			if err != nil {
				results[i] = errorReply(err)
			} else {
				results[i] = map[string]any{"p": sent.Partition, "o": sent.Offset}
			}
		})
	}
	check(client.Flush(ctx))
	return results
}

func (d *driver) consume(ctx context.Context, r *request) any {
	isolation := kgo.ReadCommitted()
	if r.Isolation == "read_uncommitted" {
		isolation = kgo.ReadUncommitted()
	}
	wait := 100 * time.Millisecond
	if r.FetchWaitMs > 0 {
		wait = time.Duration(r.FetchWaitMs) * time.Millisecond
	}
	opts := []kgo.Opt{kgo.ConsumeTopics(r.topicNames()...), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(isolation), kgo.FetchMaxWait(wait)}
	if r.FetchBytes > 0 {
		opts = append(opts, kgo.FetchMaxPartitionBytes(r.FetchBytes))
	}
	client := d.newClient(opts...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.TimeoutMs)*time.Millisecond)
	defer cancel()
	records := []record{}
	for len(records) < r.Count && ctx.Err() == nil {
		fetches := client.PollRecords(ctx, r.Count-len(records))
		fetches.EachError(func(_ string, _ int32, err error) {
			if ctx.Err() == nil {
				check(err)
			}
		})
		fetches.EachRecord(func(fetched *kgo.Record) { records = append(records, fromRecord(fetched)) })
	}
	return records
}

func (d *driver) offsets(ctx context.Context, r *request) any {
	var listed kadm.ListedOffsets
	var err error
	switch at := r.At.(type) {
	case float64:
		listed, err = d.admin.ListOffsetsAfterMilli(ctx, int64(at), r.Topic)
	case string:
		look := map[string]func(context.Context, ...string) (kadm.ListedOffsets, error){
			"earliest": d.admin.ListStartOffsets, "latest": d.admin.ListEndOffsets, "max_timestamp": d.admin.ListMaxTimestampOffsets,
		}[at]
		listed, err = look(ctx, r.Topic)
	}
	check(err)
	check(listed.Error())
	found := map[string]int64{}
	for _, partition := range r.Partitions {
		offset, _ := listed.Lookup(r.Topic, partition)
		found[strconv.Itoa(int(partition))] = offset.Offset
		// Where no record is that young the library gives the end instead; its timestamp tells.
		if _, byTime := r.At.(float64); byTime && offset.Timestamp < 0 {
			found[strconv.Itoa(int(partition))] = -1
		}
	}
	return found
}

func (d *driver) join(_ context.Context, r *request) any {
	m := &member{done: make(chan struct{}), assigned: map[string]bool{}}
	set := func(value bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			m.mutex.Lock()
			defer m.mutex.Unlock()
			for topic, numbers := range partitions {
				for _, number := range numbers {
					name := fmt.Sprintf("%s-%d", topic, number)
					if value {
						m.assigned[name] = true
					} else {
						delete(m.assigned, name)
					}
				}
			}
		}
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(r.Group), kgo.ConsumeTopics(r.topicNames()...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.OnPartitionsAssigned(set(true)), kgo.OnPartitionsRevoked(set(false)), kgo.OnPartitionsLost(set(false)),
	}
	if r.Protocol == "consumer" {
		opts = append(opts, kgo.GroupProtocol("consumer"), kgo.ServerSideBalancer())
	} else {
		balancers := map[string]kgo.GroupBalancer{
			"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(),
			"cooperative-sticky": kgo.CooperativeStickyBalancer(), "": kgo.RangeBalancer(),
		}
		opts = append(opts, kgo.Balancers(balancers[r.Assignor]), kgo.SessionTimeout(time.Duration(r.SessionTimeoutMs)*time.Millisecond))
	}
	if r.Instance != "" {
		opts = append(opts, kgo.InstanceID(r.Instance))
	}
	m.client = d.newClient(opts...)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go m.run(ctx)
	d.members[r.ID] = m
	return nil
}

func (m *member) run(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		polling, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		fetched := m.client.PollRecords(polling, 500).Records()
		cancel()
		if len(fetched) > 0 {
			if err := m.client.CommitRecords(context.Background(), fetched...); err != nil {
				fmt.Fprintln(os.Stderr, "commit:", err)
			}
		}
		m.mutex.Lock()
		for _, r := range fetched {
			m.records = append(m.records, fromRecord(r))
		}
		m.received += len(fetched)
		m.mutex.Unlock()
		m.client.AllowRebalance()
	}
	m.client.Close()
}

func (m *member) stop() {
	m.cancel()
	<-m.done
}

func (d *driver) status(_ context.Context, r *request) any {
	m := d.members[r.ID]
	m.mutex.Lock()
	defer m.mutex.Unlock()
	assigned := []string{}
	for name := range m.assigned {
		assigned = append(assigned, name)
	}
	slices.Sort(assigned)
	return map[string]any{"assigned": assigned, "received": m.received}
}

func (d *driver) take(_ context.Context, r *request) any {
	m := d.members[r.ID]
	m.mutex.Lock()
	defer m.mutex.Unlock()
	taken := m.records
	m.records = nil
	if taken == nil {
		taken = []record{}
	}
	return taken
}

func (d *driver) leave(_ context.Context, r *request) any {
	d.members[r.ID].stop()
	delete(d.members, r.ID)
	return nil
}

func (d *driver) committed(ctx context.Context, r *request) any {
	responses, err := d.admin.FetchOffsets(ctx, r.Group)
	check(err)
	check(responses.Error())
	found := map[string]int64{}
	responses.Each(func(o kadm.OffsetResponse) {
		if o.Topic == r.Topic && o.At >= 0 {
			found[strconv.Itoa(int(o.Partition))] = o.At
		}
	})
	return found
}

func (d *driver) commit(ctx context.Context, r *request) any {
	offsets := kadm.Offsets{}
	for partition, at := range r.Offsets {
		number, err := strconv.Atoi(partition)
		check(err)
		offsets.AddOffset(r.Topic, int32(number), at, -1)
	}
	check(d.admin.CommitAllOffsets(ctx, r.Group, offsets))
	return nil
}

func pointers(configs map[string]string) map[string]*string {
	result := map[string]*string{}
	for name, value := range configs {
		result[name] = &value
	}
	return result
}

func (d *driver) createTopics(ctx context.Context, r *request) any {
	var topics []topicSpec
	check(json.Unmarshal(r.RawTopics, &topics))
	// The low-level request, since kadm has no call with assignments or with several layouts at once.
	create := kmsg.NewPtrCreateTopicsRequest()
	create.ValidateOnly = r.ValidateOnly
	create.TimeoutMillis = 30000
	for _, topic := range topics {
		entry := kmsg.NewCreateTopicsRequestTopic()
		entry.Topic, entry.NumPartitions, entry.ReplicationFactor = topic.Name, topic.Partitions, topic.Replicas
		for number, replicas := range topic.Assignment {
			entry.NumPartitions, entry.ReplicationFactor = -1, -1
			assignment := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			assignment.Partition, assignment.Replicas = int32(number), replicas
			entry.ReplicaAssignment = append(entry.ReplicaAssignment, assignment)
		}
		for name, value := range pointers(topic.Configs) {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			config.Name, config.Value = name, value
			entry.Configs = append(entry.Configs, config)
		}
		create.Topics = append(create.Topics, entry)
	}
	response, err := create.RequestWith(ctx, d.client)
	check(err)
	codes := map[string]int16{}
	for _, topic := range response.Topics {
		codes[topic.Topic] = topic.ErrorCode
	}
	return codes
}

func (d *driver) deleteTopics(ctx context.Context, r *request) any {
	responses, err := d.admin.DeleteTopics(ctx, r.Names...)
	check(err)
	codes := map[string]int{}
	for name, response := range responses {
		codes[name] = codeOf(response.Err)
	}
	return codes
}

func (d *driver) createPartitions(ctx context.Context, r *request) any {
	responses, err := d.admin.UpdatePartitions(ctx, r.Count, r.Name)
	check(err)
	check(responses.Error())
	return nil
}

func (d *driver) listTopics(ctx context.Context, _ *request) any {
	topics, err := d.admin.ListTopicsWithInternal(ctx)
	check(err)
	return topics.Names()
}

func (d *driver) describeTopic(ctx context.Context, r *request) any {
	topics, err := d.admin.ListTopicsWithInternal(ctx, r.Name)
	check(err)
	check(topics[r.Name].Err)
	described := []any{}
	for _, p := range topics[r.Name].Partitions.Sorted() {
		described = append(described, map[string]any{"p": p.Partition, "leader": p.Leader, "replicas": p.Replicas, "isr": p.ISR})
	}
	return described
}

func (d *driver) describeConfigs(ctx context.Context, r *request) any {
	var resources kadm.ResourceConfigs
	var err error
	if r.Kind == "topic" {
		resources, err = d.admin.DescribeTopicConfigs(ctx, r.Name)
	} else {
		resources, err = d.admin.DescribeBrokerConfigs(ctx, brokers(r.Name)...)
	}
	check(err)
	resource, err := resources.On(r.Name, nil)
	check(err)
	check(resource.Err)
	configs := map[string]*string{}
	for _, config := range resource.Configs {
		configs[config.Key] = config.Value
	}
	return configs
}

func brokers(name string) []int32 {
	if name == "" {
		return nil
	}
	number, err := strconv.Atoi(name)
	check(err)
	return []int32{int32(number)}
}

func checkAltered(responses kadm.AlterConfigsResponses, err error) {
	check(err)
	for _, response := range responses {
		check(response.Err)
	}
}

func (d *driver) alterConfigs(ctx context.Context, r *request) any {
	changes := []kadm.AlterConfig{}
	for name, value := range pointers(r.Configs) {
		changes = append(changes, kadm.AlterConfig{Name: name, Value: value})
	}
	if r.Kind == "topic" {
		checkAltered(d.admin.AlterTopicConfigsState(ctx, changes, r.Name))
	} else {
		checkAltered(d.admin.AlterBrokerConfigsState(ctx, changes, brokers(r.Name)...))
	}
	return nil
}

func (d *driver) incrementalAlterConfigs(ctx context.Context, r *request) any {
	changes := []kadm.AlterConfig{}
	for op, configs := range map[kadm.IncrementalOp]map[string]string{kadm.SetConfig: r.Set, kadm.AppendConfig: r.Append, kadm.SubtractConfig: r.Subtract} {
		for name, value := range pointers(configs) {
			changes = append(changes, kadm.AlterConfig{Op: op, Name: name, Value: value})
		}
	}
	for _, name := range r.Delete {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	if r.Kind == "topic" {
		checkAltered(d.admin.AlterTopicConfigs(ctx, changes, r.Name))
	} else {
		checkAltered(d.admin.AlterBrokerConfigs(ctx, changes, brokers(r.Name)...))
	}
	return nil
}

func (d *driver) listGroups(ctx context.Context, _ *request) any {
	groups, err := d.admin.ListGroups(ctx)
	check(err)
	return groups.Groups()
}

func (d *driver) describeGroup(ctx context.Context, r *request) any {
	groups, err := d.admin.DescribeGroups(ctx, r.Group)
	check(err)
	group := groups[r.Group]
	check(group.Err)
	return map[string]any{"state": strings.ToUpper(group.State), "protocol": group.Protocol, "members": len(group.Members)}
}

func (d *driver) deleteGroup(ctx context.Context, r *request) any {
	response, err := d.admin.DeleteGroup(ctx, r.Group)
	check(err)
	check(response.Err)
	return nil
}

func (d *driver) deleteGroupOffsets(ctx context.Context, r *request) any {
	set := kadm.TopicsSet{}
	set.Add(r.Topic, r.Partitions...)
	responses, err := d.admin.DeleteOffsets(ctx, r.Group, set)
	check(err)
	check(responses.Error())
	return nil
}

func (d *driver) deleteRecords(ctx context.Context, r *request) any {
	offsets := kadm.Offsets{}
	offsets.AddOffset(r.Topic, r.Partition, r.Before, -1)
	responses, err := d.admin.DeleteRecords(ctx, offsets)
	check(err)
	response, _ := responses.Lookup(r.Topic, r.Partition)
	check(response.Err)
	return response.LowWatermark
}

func (d *driver) logDirs(ctx context.Context, _ *request) any {
	all, err := d.admin.DescribeAllLogDirs(ctx, nil)
	check(err)
	sizes := map[string]int64{}
	for _, dirs := range all {
		check(dirs.Error())
		dirs.EachPartition(func(p kadm.DescribedLogDirPartition) {
			sizes[fmt.Sprintf("%s-%d", p.Topic, p.Partition)] = p.Size
		})
	}
	return sizes
}

func (d *driver) cluster(ctx context.Context, _ *request) any {
	metadata, err := d.admin.BrokerMetadata(ctx)
	check(err)
	described := []any{}
	for _, broker := range metadata.Brokers {
		described = append(described, map[string]any{"id": broker.NodeID, "host": broker.Host, "port": broker.Port})
	}
	return map[string]any{"id": metadata.Cluster, "controller": metadata.Controller, "brokers": described}
}

func (d *driver) handle(r *request) (reply map[string]any) {
	defer func() {
		if thrown := recover(); thrown != nil {
			failed, ok := thrown.(failure)
			switch {
			case !ok:
				panic(thrown)
			case errors.Is(failed.error, errUnsupported):
				reply = map[string]any{"error": "unsupported"}
			default:
				reply = errorReply(failed.error)
			}
		}
	}()
	handlers := map[string]func(context.Context, *request) any{
		"produce": d.produce, "consume": d.consume, "offsets": d.offsets, "join": d.join, "status": d.status, "take": d.take,
		"leave": d.leave, "committed": d.committed, "commit": d.commit, "create_topics": d.createTopics,
		"delete_topics": d.deleteTopics, "create_partitions": d.createPartitions, "list_topics": d.listTopics,
		"describe_topic": d.describeTopic, "describe_configs": d.describeConfigs, "alter_configs": d.alterConfigs,
		"incremental_alter_configs": d.incrementalAlterConfigs, "list_groups": d.listGroups, "describe_group": d.describeGroup,
		"delete_group": d.deleteGroup, "delete_group_offsets": d.deleteGroupOffsets, "delete_records": d.deleteRecords,
		"log_dirs": d.logDirs, "cluster": d.cluster,
	}
	handler, found := handlers[r.Op]
	if !found {
		check(errUnsupported)
	}
	limit := timeout + time.Duration(r.TimeoutMs)*time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return map[string]any{"ok": handler(ctx, r)}
}

func main() {
	d := &driver{bootstrap: os.Args[1], members: map[string]*member{}}
	d.client = d.newClient()
	d.admin = kadm.NewClient(d.client)
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		r := &request{}
		if err := json.Unmarshal(line, r); err != nil {
			panic(err)
		}
		if err := out.Encode(d.handle(r)); err != nil {
			panic(err)
		}
	}
	for _, m := range d.members {
		m.stop()
	}
	d.client.Close()
}
