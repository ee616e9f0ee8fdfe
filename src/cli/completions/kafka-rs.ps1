# Completion of kafka-rs and of the links to it, for PowerShell. Made by `kafka-rs completions powershell`.

Register-ArgumentCompleter -Native -CommandName @(@NAMES@) -ScriptBlock {
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
