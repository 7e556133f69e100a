"""What `dmvton eval` is made of: data, contenders, measures, report, gate."""
