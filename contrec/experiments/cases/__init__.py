"""Single cases, chosen by rules, as pages and in a browser (09_case_studies)."""
