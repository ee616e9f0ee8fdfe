# Completion of kafka-rs and of the links to it, for PowerShell. Made by `kafka-rs completions powershell`.

Register-ArgumentCompleter -Native -CommandName @('kafka-rs', 'kafka-server-start', 'kafka-server-start.bat', 'kafka-server-stop', 'kafka-server-stop.bat', 'kafka-topics', 'kafka-topics.bat', 'kafka-console-producer', 'kafka-console-producer.bat', 'kafka-console-consumer', 'kafka-console-consumer.bat', 'kafka-console-share-consumer', 'kafka-console-share-consumer.bat', 'kafka-consumer-groups', 'kafka-consumer-groups.bat', 'kafka-share-groups', 'kafka-share-groups.bat', 'kafka-streams-groups', 'kafka-streams-groups.bat', 'kafka-streams-application-reset', 'kafka-streams-application-reset.bat', 'kafka-groups', 'kafka-groups.bat', 'kafka-get-offsets', 'kafka-get-offsets.bat', 'kafka-delete-records', 'kafka-delete-records.bat', 'kafka-log-dirs', 'kafka-log-dirs.bat', 'kafka-producer-perf-test', 'kafka-producer-perf-test.bat', 'kafka-consumer-perf-test', 'kafka-consumer-perf-test.bat', 'kafka-share-consumer-perf-test', 'kafka-share-consumer-perf-test.bat', 'kafka-e2e-latency', 'kafka-e2e-latency.bat', 'kafka-verifiable-producer', 'kafka-verifiable-producer.bat', 'kafka-verifiable-consumer', 'kafka-verifiable-consumer.bat', 'kafka-verifiable-share-consumer', 'kafka-verifiable-share-consumer.bat', 'kafka-configs', 'kafka-configs.bat', 'kafka-client-metrics', 'kafka-client-metrics.bat', 'kafka-acls', 'kafka-acls.bat', 'kafka-delegation-tokens', 'kafka-delegation-tokens.bat', 'kafka-leader-election', 'kafka-leader-election.bat', 'kafka-reassign-partitions', 'kafka-reassign-partitions.bat', 'kafka-replica-verification', 'kafka-replica-verification.bat', 'kafka-transactions', 'kafka-transactions.bat', 'kafka-cluster', 'kafka-cluster.bat', 'kafka-features', 'kafka-features.bat', 'kafka-metadata-quorum', 'kafka-metadata-quorum.bat', 'kafka-broker-api-versions', 'kafka-broker-api-versions.bat', 'kafka-dump-log', 'kafka-dump-log.bat', 'zookeeper-server-start', 'zookeeper-server-start.bat', 'zookeeper-server-stop', 'zookeeper-server-stop.bat', 'zookeeper-shell', 'zookeeper-shell.bat', 'zookeeper-security-migration', 'zookeeper-security-migration.bat', 'kafka-storage', 'kafka-storage.bat', 'kafka-metadata-shell', 'kafka-metadata-shell.bat', 'kafka-jmx', 'kafka-jmx.bat', 'kafka-run-class', 'kafka-run-class.bat') -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { "=$($_.Value)" } else { "=$($_.Extent.Text)" }
    })
    $words += "=$wordToComplete"
    # A script of the same name in an Apache Kafka would start a JVM at each press of the key.
    $program = if ($commandAst.GetCommandName() -match '(^|[\\/])kafka-rs(\.exe)?$') { $commandAst.GetCommandName() } else { 'kafka-rs' }
    & $program __complete powershell -- @words 2>$null | ForEach-Object {
        switch -Exact ($_) {
            ':done' { }
            { $_ -in ':files', ':directories' } { [System.Management.Automation.CompletionCompleters]::CompleteFilename($wordToComplete) }
            default {
                $value, $meaning = $_ -split "`t", 2
                if (-not $meaning) { $meaning = $value }
                [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $meaning)
            }
        }
    }
}
