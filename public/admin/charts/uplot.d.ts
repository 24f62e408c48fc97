// uPlot is served from its own package; only its address differs.
declare module '*/uPlot.esm.js' {
  export { default } from 'uplot';
}
