"""`donmai agent run`: fetch, workspace, supervise, report."""
