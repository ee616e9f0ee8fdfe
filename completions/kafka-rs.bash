# Completion of kafka-rs and of the links to it, for bash. Made by `kafka-rs completions bash`.

_kafka_rs() {
    local program=kafka-rs line directive=
    # A script of the same name in an Apache Kafka would start a JVM at each press of the key.
    [[ ${COMP_WORDS[0]##*/} == kafka-rs ]] && program=${COMP_WORDS[0]}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :*) directive=$line ;;
            *) COMPREPLY+=("$line") ;;
        esac
    done < <("$program" __complete bash -- "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
    case $directive in
        :files) compopt -o default 2>/dev/null ;;
        :directories) compopt -o dirnames 2>/dev/null ;;
    esac
    # After the key of a setting comes its value.
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}

complete -F _kafka_rs kafka-rs kafka-server-start kafka-server-start.sh kafka-server-stop kafka-server-stop.sh kafka-topics kafka-topics.sh kafka-console-producer kafka-console-producer.sh kafka-console-consumer kafka-console-consumer.sh kafka-console-share-consumer kafka-console-share-consumer.sh kafka-consumer-groups kafka-consumer-groups.sh kafka-share-groups kafka-share-groups.sh kafka-streams-groups kafka-streams-groups.sh kafka-streams-application-reset kafka-streams-application-reset.sh kafka-groups kafka-groups.sh kafka-get-offsets kafka-get-offsets.sh kafka-delete-records kafka-delete-records.sh kafka-log-dirs kafka-log-dirs.sh kafka-producer-perf-test kafka-producer-perf-test.sh kafka-consumer-perf-test kafka-consumer-perf-test.sh kafka-share-consumer-perf-test kafka-share-consumer-perf-test.sh kafka-e2e-latency kafka-e2e-latency.sh kafka-verifiable-producer kafka-verifiable-producer.sh kafka-verifiable-consumer kafka-verifiable-consumer.sh kafka-verifiable-share-consumer kafka-verifiable-share-consumer.sh kafka-configs kafka-configs.sh kafka-client-metrics kafka-client-metrics.sh kafka-acls kafka-acls.sh kafka-delegation-tokens kafka-delegation-tokens.sh kafka-leader-election kafka-leader-election.sh kafka-reassign-partitions kafka-reassign-partitions.sh kafka-replica-verification kafka-replica-verification.sh kafka-transactions kafka-transactions.sh kafka-cluster kafka-cluster.sh kafka-features kafka-features.sh kafka-metadata-quorum kafka-metadata-quorum.sh kafka-broker-api-versions kafka-broker-api-versions.sh kafka-dump-log kafka-dump-log.sh zookeeper-server-start zookeeper-server-start.sh zookeeper-server-stop zookeeper-server-stop.sh zookeeper-shell zookeeper-shell.sh zookeeper-security-migration zookeeper-security-migration.sh kafka-storage kafka-storage.sh kafka-metadata-shell kafka-metadata-shell.sh kafka-jmx kafka-jmx.sh kafka-run-class kafka-run-class.sh
