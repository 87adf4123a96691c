"""Texts that would run as scripts, if a page took them for its own."""

RUN = "document.title = 'taken'"
HOSTILE = (
    f"</script><script>{RUN}</script>",
    f'<img src=x onerror="{RUN}">',
    f'<svg onload="{RUN}">',
    f"'\"><script>{RUN}</script>",
    f"{{{{ {RUN} }}}}",
    f'<a href="javascript:{RUN}">open</a>',
    f"--><script>{RUN}</script>",
)
