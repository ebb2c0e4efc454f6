def report_html(r): return "stub"
