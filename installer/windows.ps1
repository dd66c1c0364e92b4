# Builds dist\brainviewer and a ZIP of it on Windows. Not tested yet: no Windows machine was at hand.
# Needs Python 3.11 or newer from python.org.  powershell -ExecutionPolicy Bypass -File installer\windows.ps1
$ErrorActionPreference = "Stop"
Set-Location (Split-Path $PSScriptRoot)
py -3 -m installer bundle
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
Compress-Archive -Path dist\brainviewer -DestinationPath dist\brainviewer-windows.zip -Force
Write-Output "dist\brainviewer-windows.zip"
