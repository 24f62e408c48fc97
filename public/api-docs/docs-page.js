/** The API's documentation: Swagger UI with our OpenAPI document. */

/** @type {{ SwaggerUIBundle: (options: object) => unknown }} */
const { SwaggerUIBundle } = /** @type {any} */ (globalThis);

// The validator is off, because it would call a third party's server.
SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, validatorUrl: null });
