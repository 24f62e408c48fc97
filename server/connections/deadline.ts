import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../../runtime/config.ts';
import { problemType, refuse } from '../http/problems.ts';
import { requestIdHeader, requestIdOf } from '../http/request-id.ts';
import { picturesPath } from '../routes/pictures.ts';
import { hangUp } from './refusals.ts';

/** For the sending of a picture, which may have 8 MB. */
export const uploadDeadlineMs = 60_000;

/**
 * Sees to it that every request is answered in time: 408 when its body has not come by then, however busily it trickles, and
 * 503 when the answer has not. A proxy that waits for longer takes the server for dead, and then everybody's requests
 * suffer for one. What is handled goes on; its answer comes too late.
 */
export function answerInTime(request: IncomingMessage, response: ServerResponse, config: Config): void {
  const isUpload = request.url === picturesPath;
  const ms = isUpload ? uploadDeadlineMs : config.ANSWER_DEADLINE_MS;
  const late = setTimeout(() => {
    const { complete } = request;
    if (response.headersSent) {
      // Answered without its body, which still trickles in.
      if (!complete) hangUp(request.socket);
      return;
    }
    const { problem, headers } = complete
      ? refuse('unavailable', `No answer after ${ms} ms. Try again.`)
      : refuse('request-timeout', `expected the whole body within ${ms} ms`);
    if (!complete) response.once('finish', () => hangUp(request.socket));
    const all = { ...headers, 'Content-Type': problemType, [requestIdHeader]: requestIdOf(request) };
    response.writeHead(problem.status, all).end(JSON.stringify(problem));
  }, ms);
  response.once('close', () => {
    if (request.complete || request.socket.destroyed) clearTimeout(late);
  });
}
