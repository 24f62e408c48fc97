/** The page of the API: Swagger UI on our own document. */

/** @type {{ SwaggerUIBundle: (options: object) => unknown }} */
const { SwaggerUIBundle } = /** @type {any} */ (globalThis);

// No validator: it would ask a server of somebody else's.
SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, validatorUrl: null });
