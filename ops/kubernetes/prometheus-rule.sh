#!/bin/sh
# Prints ops/alerts.yml as a PrometheusRule: ops/kubernetes/prometheus-rule.sh | kubectl apply -n stampede -f -
set -eu
cat <<'HEAD'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: stampede
spec:
HEAD
sed 's/^/  /' "$(dirname "$0")/../alerts.yml"
