/* Show the document that the page holds. */
"use strict";

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  spec: JSON.parse(document.getElementById("document").textContent),
  deepLinking: true,
  // No badge of another host that judges the document.
  validatorUrl: null,
});
