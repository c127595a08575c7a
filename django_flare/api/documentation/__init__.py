"""Write the OpenAPI document. Nothing here is imported by a site: the document is a file, `openapi.json`.

It takes drf-spectacular, of the extra `api`.
"""
