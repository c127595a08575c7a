"""The content security policy under which the admin has to work."""

POLICY = "script-src 'self'; style-src 'self'"


def middleware(get_response):
    """Send the policy with every answer that has none of its own."""

    def answer(request):
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return answer
