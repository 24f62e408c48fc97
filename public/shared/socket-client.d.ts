// Pages import the client by this address, for which server/pages/bundles.ts puts the file; only its address differs from the package's.
declare module '*/socket.io.esm.min.js' {
  export { io } from 'socket.io-client';
}
