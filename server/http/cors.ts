import { type RequestHandler, Router } from 'express';
import type { Respond } from './pipeline.ts';
import type { Route } from './route.ts';

/**
 * CORS: pages of the origins in ALLOWED_ORIGINS may call what a buyer may call, with a token. Cookies are not allowed, so that
 * no page acts for a session of which it knows nothing.
 */
const isOpen = ({ access, takesSessionCookie }: Route) =>
  (access === 'anyone' || access === 'buyer') && !takesSessionCookie;

const exposed = 'ETag, Idempotency-Key, Location, Preference-Applied, RateLimit, Retry-After, X-Request-Id';
const accepted =
  'Authorization, Captcha-Token, Content-Type, Idempotency-Key, If-None-Match, Prefer, Proof-Of-Work, Room-Pass, Sale-Code, Traceparent';

/** Adds the headers to the answers, also to refusals. */
export function answerAcrossOrigins(respond: Respond, origins: readonly string[]): Respond {
  if (origins.length === 0) return respond;
  return async (route, request) => {
    const reply = await respond(route, request);
    if (!isOpen(route)) return reply;
    const origin = request.header('origin') ?? '';
    const headers = {
      Vary: 'Origin',
      ...(origins.includes(origin) && {
        'Access-Control-Allow-Origin': origin,
        'Access-Control-Expose-Headers': exposed,
      }),
    };
    return { ...reply, headers: { ...headers, ...reply.headers } };
  };
}

/** Answers the preflights of these routes; those of other origins go on, and are answered like any other OPTIONS. */
export function preflights(routes: Route[], origins: readonly string[]): Router {
  const router = Router();
  const open = routes.filter(isOpen);
  for (const path of new Set(open.map((route) => route.path))) {
    const here = open.filter((route) => route.path === path);
    const methods = here.map(({ method }) => method.toUpperCase()).join(', ');
    const answer: RequestHandler = (request, response, next) => {
      const origin = request.header('origin') ?? '';
      if (!origins.includes(origin)) return next();
      response
        .status(204)
        .set({
          'Access-Control-Allow-Origin': origin,
          'Access-Control-Allow-Methods': methods,
          'Access-Control-Allow-Headers': accepted,
          'Access-Control-Max-Age': '600',
          Vary: 'Origin',
        })
        .end();
    };
    router.options(path, answer);
  }
  return router;
}
