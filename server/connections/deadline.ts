import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../../runtime/config.ts';
import { problemType, refuse } from '../http/problems.ts';
import { requestIdHeader, requestIdOf } from '../http/request-id.ts';
import { picturesPath } from '../routes/pictures.ts';
import { endConnection } from './refusals.ts';

const listPath = /^\/api\/admin\/sales\/[^/]+\/list$/;

/** Deadline for the upload of a picture or a list, which may have 8 MB. */
export const uploadDeadlineMs = 60_000;

/**
 * Answers every request before a deadline: 408 when its body is incomplete by then, and 503 when its handler has not
 * answered. A proxy that waited longer would consider the server dead, and stop sending it the requests of others. The
 * handler is not interrupted; its late answer is dropped.
 */
export function answerInTime(request: IncomingMessage, response: ServerResponse, config: Config): void {
  const { url = '' } = request;
  const isUpload = url === picturesPath || listPath.test(url);
  const ms = isUpload ? uploadDeadlineMs : config.ANSWER_DEADLINE_MS;
  const late = setTimeout(() => {
    const { complete } = request;
    if (response.headersSent) {
      // The request was answered before its whole body arrived.
      if (!complete) endConnection(request.socket);
      return;
    }
    const { problem, headers } = complete
      ? refuse('unavailable', `No answer after ${ms} ms. Try again.`)
      : refuse('request-timeout', `expected the whole body within ${ms} ms`);
    if (!complete) response.once('finish', () => endConnection(request.socket));
    const all = { ...headers, 'Content-Type': problemType, [requestIdHeader]: requestIdOf(request) };
    response.writeHead(problem.status, all).end(JSON.stringify(problem));
  }, ms);
  response.once('close', () => {
    if (request.complete || request.socket.destroyed) clearTimeout(late);
  });
}
