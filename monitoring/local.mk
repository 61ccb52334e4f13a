# monitoring/: alerts for Prometheus and a dashboard for Grafana (docs/monitoring.md)
MONITORING = monitoring/keelson.rules.yaml monitoring/keelson-dashboard.json
EXTRA_DIST += $(MONITORING)
monitoringdir = $(datadir)/keelson/monitoring
monitoring_DATA = $(MONITORING)
check_SCRIPTS += tests/monitoring
EXTRA_DIST += tests/monitoring tests/monitoring-alerts.yaml tests/promtool
