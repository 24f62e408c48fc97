# One image for the server and the worker: docker-compose.yml says which of the two a container is.
FROM node:20.19.0-bookworm-slim

ENV NODE_ENV=production
WORKDIR /app

# First what changes seldom, so that a change of the sources installs nothing anew.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force

COPY tsconfig.json run.mjs ./
COPY ops/node.sh ops/RUNBOOK.md ./ops/
COPY ops/local ./ops/local
COPY runtime ./runtime
COPY store ./store
COPY log ./log
COPY accounts ./accounts
COPY catalogue ./catalogue
COPY sale ./sale
COPY insight ./insight
COPY messages ./messages
COPY subscribers ./subscribers
COPY public ./public
COPY rehearsal ./rehearsal
COPY commands ./commands
COPY server ./server
COPY worker ./worker

# Nothing is written below /app, so nothing there has to belong to the user; /data is the seed's.
RUN mkdir /data && chown node:node /data
USER node
ENV HOST=0.0.0.0 PORT=8080 STAMPEDE_DATA_DIR=/data
EXPOSE 8080

# Not through npm: it would stand between Docker's SIGTERM and the process that has to drain.
CMD ["sh", "ops/node.sh", "--import", "tsx", "server/main.ts"]
