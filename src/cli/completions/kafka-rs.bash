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

complete -F _kafka_rs @NAMES@
