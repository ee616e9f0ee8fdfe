#compdef @NAMES@
# Completion of kafka-rs and of the links to it, for zsh. Made by `kafka-rs completions zsh`.

_kafka_rs() {
    local program=kafka-rs line directive=
    local -a candidates
    # A script of the same name in an Apache Kafka would start a JVM at each press of the key.
    [[ ${words[1]:t} == kafka-rs ]] && program=$words[1]
    while IFS= read -r line; do
        case $line in
            :*) directive=$line ;;
            *) candidates+=("$line") ;;
        esac
    done < <($program __complete zsh -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)
    case $directive in
        :files) _files ;;
        :directories) _files -/ ;;
        # After the key of a setting comes its value.
        *) if [[ ${candidates[1]%%:*} == *= ]]; then _describe kafka-rs candidates -S ''; else _describe kafka-rs candidates; fi ;;
    esac
}

if [ "$funcstack[1]" = "_kafka-rs" ]; then
    _kafka_rs "$@"
else
    compdef _kafka_rs @NAMES@
fi
